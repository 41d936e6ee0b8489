"""What the holders of a study's lock leave behind for the next one."""

import os

import pytest

from motoko.host.locks import lock_in_time
from motoko.store.creation_locks import CreationLock

TID = bytes.fromhex("040d662949eaef00")


@pytest.fixture
def take(tmp_path):
    return lambda: CreationLock(lock_in_time(tmp_path / "lock", 1.0))


def test_the_next_holder_knows_what_it_has_to_see(take):
    for seen in (None, TID, TID[::-1]):
        lock = take()
        lock.release(seen)
        lock = take()
        assert lock.seen == seen
        lock.release()


def test_a_holder_that_was_killed_leaves_nothing(take):
    take().release(TID)
    killed = take()
    killed._lock.release()
    lock = take()
    assert lock.seen is None
    lock.release()


def test_a_file_that_was_cut_off_says_nothing(take, tmp_path):
    take().release(TID)
    os.truncate(tmp_path / "lock", 5)
    lock = take()
    assert lock.seen is None
    lock.release()
