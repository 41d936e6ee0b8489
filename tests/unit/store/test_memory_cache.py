"""What a ZEO client remembers of records."""

import pytest

from motoko.store.internals.zeo_cache import MemoryCache


def tid(number):
    return number.to_bytes(8)


@pytest.fixture
def cache():
    return MemoryCache(100)


def test_only_views_that_are_as_new_get_a_record(cache):
    cache.store(b"a", tid(5), None, b"five")
    assert cache.loadBefore(b"a", tid(5)) is None
    assert cache.loadBefore(b"a", tid(6)) == (b"five", tid(5), None)
    assert cache.loadBefore(b"b", tid(6)) is None


def test_an_announcement_drops_other_revisions_than_its_own(cache):
    cache.store(b"a", tid(5), None, b"five")
    cache.invalidate(b"a", tid(5))  # the server sends records just before it announces them
    assert cache.loadBefore(b"a", tid(9)) is not None
    cache.invalidate(b"a", tid(6))
    assert cache.loadBefore(b"a", tid(9)) is None
    cache.store(b"a", tid(6), None, b"six")
    cache.invalidate(b"a", None)
    assert cache.loadBefore(b"a", tid(9)) is None


def test_past_revisions_are_not_remembered(cache):
    cache.store(b"a", tid(5), tid(7), b"five")
    assert cache.loadBefore(b"a", tid(6)) is None


def test_the_first_records_make_room(cache):
    for number in range(5):
        cache.store(tid(number), tid(1), None, bytes(30))
    cache.store(tid(3), tid(2), None, bytes(20))  # another revision of one of them
    known = [cache.loadBefore(tid(number), tid(9)) for number in range(5)]
    assert [record and len(record[0]) for record in known] == [None, None, 30, 20, 30]
    cache.store(tid(4), tid(3), None, bytes(101))  # there is no room for it
    assert not cache


def test_transactions_come_in_order(cache):
    assert cache.getLastTid() == bytes(8)
    cache.setLastTid(tid(5))
    cache.setLastTid(tid(5))
    cache.store(b"a", tid(5), None, b"five")
    with pytest.raises(ValueError, match="0000000000000004"):
        cache.setLastTid(tid(4))
    cache.forget()
    assert cache.getLastTid() == tid(5) and not cache
    cache.setLastTid(tid(4))  # of another database; nothing is remembered of this one
    cache.clear()
    assert cache.getLastTid() == bytes(8)
