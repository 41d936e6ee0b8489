"""The last transactions in a database's file, while it is written and after it was cut."""

from types import SimpleNamespace

import pytest
import transaction
import ZODB
from ZODB.Connection import TransactionMetaData
from ZODB.FileStorage import FileStorage
from ZODB.utils import z64

from motoko.store.internals import zeo_invalidations
from motoko.store.internals.zeo_invalidations import limit_invalidations
from motoko.store.log_end import NoEnd, last_fitting, last_tids


@pytest.fixture
def database(tmp_path):
    transaction.abort()
    database = ZODB.DB(FileStorage(str(tmp_path / "bd.zeo")))
    yield database
    transaction.abort()
    database.close()


def commit(database, value):
    with database.transaction() as connection:
        connection.root()["value"] = value


def true(path):
    return [record.tid for record in FileStorage(path, read_only=True).iterator()][::-1]


def test_from_the_last_one_back(database, tmp_path):
    path = tmp_path / "bd.zeo"
    for value in range(5):
        commit(database, value)
        assert next(last_tids(path)) == database.lastTransaction()
    commit(database, "x" * 100_000)
    assert list(last_tids(path)) == true(str(path))
    database.pack()
    assert list(last_tids(path)) == true(str(path))


def test_an_empty_one(database, tmp_path):
    path = tmp_path / "new"
    FileStorage(str(path)).close()
    assert list(last_tids(path)) == []


def test_one_that_is_being_written(database, tmp_path):
    """A transaction that was voted for and not finished does not count."""
    commit(database, 1)
    newest = database.lastTransaction()
    storage, meta = database.storage, transaction.TransactionManager().begin()
    meta = TransactionMetaData()
    storage.tpc_begin(meta)
    storage.store(z64, newest, storage.load(z64)[0], "", meta)
    storage.tpc_vote(meta)
    assert next(last_tids(tmp_path / "bd.zeo")) == newest
    storage.tpc_abort(meta)


@pytest.mark.parametrize("bytes_off", [1, 7, 8, 30])
def test_one_that_was_cut(database, tmp_path, bytes_off):
    for value in range(3):
        commit(database, value)
    data = (tmp_path / "bd.zeo").read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(data[:-bytes_off])
    with pytest.raises(NoEnd):
        list(last_tids(cut))


@pytest.mark.parametrize("data", [b"#!/bin/sh\n" * 100, bytes(1000)])
def test_what_is_no_database(tmp_path, data):
    (tmp_path / "other").write_bytes(data)
    with pytest.raises(NoEnd):
        list(last_tids(tmp_path / "other"))


def test_those_that_fit(database, tmp_path):
    path = tmp_path / "bd.zeo"
    commit(database, "x" * 100_000)
    for value in range(5):
        commit(database, value)
    size = path.stat().st_size
    assert last_fitting(path, 50_000, 100) == 5
    assert last_fitting(path, 50_000, 3) == 3
    assert last_fitting(path, 10, 100) == 0
    assert last_fitting(path, size, 100) == len(true(str(path)))


def test_what_a_server_remembers(database, tmp_path, monkeypatch):
    """Few of the last transactions if they are large; who knows the last has missed nothing."""
    path, storage = tmp_path / "bd.zeo", database.storage
    for value in range(5):
        commit(database, value)
    server = SimpleNamespace(storages={"1": storage})
    read = storage.lastInvalidations
    limit_invalidations(server, path)
    assert storage.lastInvalidations(3) == read(3)
    monkeypatch.setattr(zeo_invalidations, "SIZE_MAX", 10)
    assert storage.lastInvalidations(3) == [(storage.lastTransaction(), [])]
