"""Large values in records of their own: what the server makes of records, without one."""

import random
import struct

import BTrees.check
import pytest
import transaction
import ZODB
from BTrees.OOBTree import OOBTree
from ZODB.MappingStorage import MappingStorage
from ZODB.utils import load_current, z64

from motoko.store import received_records, storable
from motoko.store.changes import Change
from motoko.store.internals.zeo_messages import whole
from motoko.store.internals.zeo_servers import ClientStores, Store
from motoko.store.large_values import LARGE, separated
from motoko.store.received_records import concerned, replacement
from motoko.store.storable import storable_ones

BIG = bytes(LARGE + 1)


class Database:
    """A tree in a storage, whose records can be replaced as the server does it."""

    def __init__(self):
        self.db = ZODB.DB(MappingStorage(), large_record_size=10**9)
        self.tree = self.open()
        self.tree.update({"id": 3, "job_id": 1, "state": "CREATED"})
        transaction.commit()

    def open(self):
        connection = self.db.open(transaction.TransactionManager())
        root = connection.root()
        if "tree" not in root:
            root = self.db.open().root()
            root["tree"] = OOBTree()
            return root["tree"]
        return root["tree"]

    def store(self):
        """Commit, and store as the server would; returns the bytes that the client has sent."""
        storage = self.db.storage
        before = storage.lastTransaction()
        transaction.commit()
        oids = [record.oid for record in list(storage.iterator(before))[-1]]
        written = 0
        for oid in oids:
            data, serial = load_current(storage, oid)
            written += len(data)
            if (records := separated(oid, data, storage.new_oid, self.records)) is None:
                continue
            meta = ZODB.Connection.TransactionMetaData()
            storage.tpc_begin(meta)
            for each, record in records.items():
                try:
                    serial = storage.getTid(each)
                except KeyError:
                    serial = z64
                storage.store(each, serial, record, "", meta)
            storage.tpc_vote(meta)
            storage.tpc_finish(meta)
        self.tree._p_jar.cacheMinimize()
        self.tree._p_jar.sync()
        return written

    def records(self):
        storage = self.db.storage
        return [(oid, load_current(storage, oid)[0]) for oid in list(storage._data)]


@pytest.fixture
def database():
    transaction.abort()
    made = Database()
    yield made
    transaction.abort()
    made.db.close()


def test_changes_beside_a_large_value_are_small(database):
    database.tree["result"] = BIG
    assert database.store() > LARGE
    for number, name in enumerate(["a", "result2", "resulu", "s"]):
        database.tree[name] = number
        database.store()
        database.tree[name] = -number
        assert database.store() < 1_000
    assert database.tree["result"] == BIG


@pytest.mark.parametrize("seed", range(6))
def test_any_changes(database, seed):
    """Whatever is set and removed, in trees of any size: read as it was set, in a sound tree."""
    draw = random.Random(seed)
    names = [f"{letter}{number}" for letter in "akz" for number in range(draw.choice([3, 30]))]
    expected = dict(database.tree)
    for _ in range(15):
        for name in draw.sample(names, draw.randint(1, 8)):
            if name in expected and draw.random() < 0.3:
                del expected[name], database.tree[name]
                continue
            value = draw.choice([BIG, [BIG], {"a": [1.5] * 20_000}, 1, None, "small", [1, 2]])
            expected[name] = database.tree[name] = value
        database.store()
        other = database.open()
        assert dict(other.items()) == expected
        other._check()
        BTrees.check.check(other)


def test_what_is_no_tree_of_names_stays_as_it_is(database):
    assert separated(z64, b"no pickle" + BIG, lambda: z64, list) is None
    database.tree.clear()
    database.tree.update({1: BIG, 2: BIG})
    transaction.commit()
    data = load_current(database.db.storage, database.tree._p_oid)[0]
    assert separated(z64, data, lambda: z64, list) is None


class Result:
    """As one of a script."""


def record(**entries):
    database = Database()
    database.tree.update(entries)
    transaction.commit()
    data = load_current(database.db.storage, database.tree._p_oid)[0]
    database.db.close()
    return data


def replaced(data, before=b""):
    return replacement(Store(z64, data, before), ClientStores(None, set(), ()))


@pytest.fixture
def scripts(monkeypatch):
    """A class that scripts have."""
    monkeypatch.setattr(Result, "__module__", "__main__")
    monkeypatch.setattr("__main__.Result", Result, raising=False)
    return Result


@pytest.mark.parametrize("hold", [lambda one: one, lambda one: [1, {"a": (one,)}]])
def test_objects_of_a_script(scripts, hold):
    data = record(size=1, result=hold(scripts()))
    assert concerned(data)
    with pytest.raises(TypeError, match=r"run 3: 'result' cannot be saved: .* the class Result"):
        replaced(data)
    # One that is there already, from before it was refused, holds up nothing.
    assert replaced(data, before=data) is None


def test_text_that_looks_like_one():
    data = record(text="c__main__\nResult\n")
    assert concerned(data)
    assert replaced(data) is None


def test_too_large(monkeypatch):
    monkeypatch.setattr(received_records, "SIZE_MAX", 10**5)
    monkeypatch.setattr(storable, "SIZE_MAX", 10**5)
    data = record(small=[1] * 100, huge=bytes(10**5))
    with pytest.raises(TypeError, match=r"run 3: 'huge' cannot be saved: it has 0 MB, the most"):
        replaced(data)
    assert not concerned(record(small=1))
    change = Change(None, z64, z64, "huge", None, bytes(10**5))
    monkeypatch.setattr(Change, "owner", "run 3")
    good, ((_, error),) = storable_ones([change])
    assert not good
    assert str(error).startswith("run 3: 'huge' cannot be saved: it has 0 MB")


@pytest.mark.parametrize("size", [1, 3, 4, 5, 9, 1000])
def test_messages_arrive_whole(size):
    sent = [b"", b"x", bytes(10), b"ruok", bytes(500), b"end"]
    stream = b"".join(struct.pack(">I", len(message)) + message for message in sent)
    arrived = []
    receive = whole(arrived.append)
    for start in range(0, len(stream), size):
        receive(stream[start : start + size])
    assert b"".join(arrived) == stream
    for data in arrived:
        while data:
            (length,) = struct.unpack_from(">I", data)
            assert len(data) >= 4 + length
            data = data[4 + length :]
