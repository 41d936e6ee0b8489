"""The last transactions in a database's file, while it is written and after it was cut."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import transaction
import ZODB
from hypothesis import given
from hypothesis import strategies as st
from persistent.TimeStamp import TimeStamp
from ZODB.Connection import TransactionMetaData
from ZODB.FileStorage import FileStorage
from ZODB.utils import z64

from motoko.store.internals import zeo_invalidations
from motoko.store.internals.zeo_invalidations import limit_invalidations
from motoko.store.log_end import NoEnd, last_fitting, last_tids, newest_change, seconds_of
from motoko.store.tids import at, committed_at


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


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_when(moment):
    """Of any transaction id, what ZODB's own class tells."""
    tid = at(moment)
    seconds = seconds_of(bytes.fromhex(tid))
    assert abs(seconds - TimeStamp(bytes.fromhex(tid)).timeTime()) < 1e-6
    assert abs(seconds - moment.timestamp()) < 1e-6
    assert abs((committed_at(tid) - moment).total_seconds()) < 1e-5


def test_newest_change(database, tmp_path):
    """Whatever is wrong with the file, that is no error."""
    path = tmp_path / "bd.zeo"
    commit(database, 1)
    assert newest_change(path) == seconds_of(database.lastTransaction())
    (tmp_path / "empty").touch()
    (tmp_path / "damaged").write_bytes(b"FS30" + bytes(100))
    for name in ("empty", "damaged", "missing"):
        assert newest_change(tmp_path / name) is None


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
