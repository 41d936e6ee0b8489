"""Two clients change a run's entries at once, in any way: the server merges them key by key.

These are ZODB's own clients, as BlackDynamite's are, at the study's real server.
"""

import BTrees.check
import pytest
import transaction
import ZEO
import ZODB
from BTrees.OOBTree import OOBTree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ZODB.POSException import ConflictError

from motoko.config import load
from motoko.layout import locate
from motoko.store.server_address import address

NAMES = [f"k{number:03}" for number in range(120)]
LARGE = bytes(70_000)
DELETED = object()


class Client:
    """One client of a study's server, with a transaction of its own."""

    def __init__(self, flow):
        config = load(flow.path)
        self._manager = transaction.TransactionManager()
        storage = ZEO.client(address(config.studies["mult"], locate(config)), wait_timeout=10)
        self.db = ZODB.DB(storage, large_record_size=10**9)
        self.root = self.db.open(self._manager).root()
        self.commit = self._manager.commit

    def refresh(self):
        """Begin anew, with all that the server has."""
        self.db.storage.ping()
        self._manager.begin()

    @property
    def entries(self):
        return self.root["drawn"]

    def change(self, changes):
        for key, value in changes.items():
            if value is not DELETED:
                self.entries[key] = value
            elif key in self.entries:
                del self.entries[key]

    def check(self, expected):
        """What it sees, by all ways of looking, in a sound tree."""
        self.entries._check()
        BTrees.check.check(self.entries)
        assert dict(self.entries) == expected
        assert [key for key in NAMES if key in self.entries] == sorted(expected)
        assert list(self.entries.keys("k03", "k07")) == sorted(
            key for key in expected if "k03" <= key <= "k07"
        )


@pytest.fixture(scope="module")
def clients(flow):
    both = Client(flow), Client(flow)
    yield both
    for client in both:
        client.db.close()


values = st.integers(0, 3) | st.just(DELETED)
few = st.dictionaries(st.sampled_from(NAMES), values | st.just(LARGE), min_size=1, max_size=4)
# Enough to split leaves, and to empty them.
many = st.builds(
    lambda start, count, step, value: dict.fromkeys(NAMES[start : start + count : step], value),
    st.integers(0, 110),
    st.integers(1, 110),
    st.integers(1, 3),
    values,
)
some = st.builds(lambda one, other: {**one, **other}, many, few) | few | many
contents = st.builds(
    lambda step, count: dict.fromkeys(NAMES[::step][:count], 9),
    st.integers(1, 3),
    st.sampled_from([0, 5, 29, 30, 31, 60, 120]),
)


def changed(before, changes):
    """Content after changes, and which keys they really change."""
    after = {key: value for key, value in (before | changes).items() if value is not DELETED}
    keys = before.keys() | after.keys()
    return after, {key for key in keys if before.get(key) != after.get(key)}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=contents, rounds=st.lists(st.tuples(some, some, st.booleans()), max_size=3))
def test_any_changes(clients, content, rounds):
    first, second = clients
    first.root["drawn"] = OOBTree(content)
    first.commit()
    for mine, theirs, apart in rounds:
        if apart:
            theirs = {key: value for key, value in theirs.items() if key not in mine}
        first.refresh()
        second.refresh()
        first.change(mine)
        second.change(theirs)
        second.commit()
        present, by_them = changed(content, theirs)
        _, by_me = changed(content, mine)
        second.check(present)
        try:
            first.commit()
        except ConflictError:
            assert by_me & by_them, "they have changed nothing in common"
            first.refresh()
        else:
            assert not by_me & by_them, "one's change is lost"
            present, _ = changed(present, {key: mine[key] for key in by_me})
        if not by_me:
            first.refresh()  # it has had nothing to commit
        first.check(present)
        second.refresh()
        second.check(present)
        content = present


def test_a_tree_of_three_levels(clients):
    """Both sides add and remove so many entries that nodes of all levels change."""
    first, second = clients
    content = {f"k{number:06}": 0 for number in range(0, 20_000, 2)}
    first.root["drawn"] = OOBTree(content)
    first.commit()
    mine = {f"k{number:06}": 1 for number in range(1, 9_000, 2)}
    mine |= {f"k{number:06}": DELETED for number in range(10_000, 10_400, 2)}
    theirs = {f"k{number:06}": 2 for number in range(9_001, 20_000, 2)}
    theirs |= {f"k{number:06}": DELETED for number in range(0, 400, 2)}
    for client in clients:
        client.refresh()
    first.change(mine)
    second.change(theirs)
    second.commit()
    first.commit()
    expected, _ = changed(content, mine | theirs)
    for client in clients:
        client.refresh()
        client.entries._check()
        BTrees.check.check(client.entries)
        assert dict(client.entries) == expected
