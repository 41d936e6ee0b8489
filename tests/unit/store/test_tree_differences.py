"""How a tree differs at two moments, one of which the connection has not reached yet."""

import pytest
import transaction
import ZODB
from BTrees.IOBTree import IOBTree
from persistent.mapping import PersistentMapping

from motoko.store.run_finders import CannotFind
from motoko.store.tree_differences import difference, in_memory, stored_at


@pytest.fixture
def db():
    db = ZODB.DB(None)
    with db.transaction() as connection:
        tree = connection.root()["tree"] = IOBTree()
        for number in range(100):
            tree[number] = PersistentMapping()
    yield db
    db.close()


def nodes_of(tree):
    """The oids of a tree and of what is below it."""
    yield tree._p_oid
    bucket = tree._firstbucket
    while bucket is not None:
        yield bucket._p_oid
        bucket = bucket._next


def test_nodes_that_were_made_after_the_view(db):
    """A mirror may be ahead of whoever asks it: it names nodes that he cannot see yet."""
    behind = db.open(transaction.TransactionManager())
    tree = behind.root()["tree"]
    assert len(tree) == 100
    with db.transaction() as connection:
        grown = connection.root()["tree"]
        known = set(nodes_of(grown))
        for number in range(100, 200):
            grown[number] = PersistentMapping()
    with db.transaction() as connection:
        nodes = set(nodes_of(connection.root()["tree"]))
        newest = db.storage.lastTransaction()
    assert nodes - known
    ahead = stored_at(db.storage, b"\x7f" + newest[1:])
    numbers, there = difference(nodes, ahead, in_memory(behind))
    assert numbers == set(range(100, 200)) and there <= known
    behind.close()


def test_a_node_that_no_moment_knows(db):
    with db.transaction() as connection:
        now = in_memory(connection)
        with pytest.raises(CannotFind):
            difference([connection.root()["tree"]._p_oid], lambda node: None, now)
