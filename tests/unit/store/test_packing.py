"""When a database is packed by itself, and how much packing is expected to free."""

import time

import pytest
import ZODB
from ZODB.FileStorage import FileStorage

from motoko.config.database_files import DatabaseFiles
from motoko.config.packing_settings import PackingSettings
from motoko.store import automatic_packing, packing
from motoko.store.automatic_packing import QUIET_S, AutomaticPacking

REVISIONS = 20
LONG_AGO = time.time() - 10 * QUIET_S


@pytest.fixture
def files(tmp_path):
    """A database in which one object was written again and again."""
    files = DatabaseFiles(tmp_path)
    database = ZODB.DB(FileStorage(str(files.transactions)))
    for number in range(REVISIONS):
        with database.transaction() as connection:
            connection.root()["x"] = [number] * 1000
    database.close()
    return files


def test_what_would_be_dropped_is_dropped(files):
    total, outdated = packing.droppable(files, time.time())
    storage = FileStorage(str(files.transactions), pack_keep_old=False)
    database = ZODB.DB(storage)
    database.pack()
    database.close()
    left = files.transactions.stat().st_size
    assert left == pytest.approx(total - outdated, rel=0.01)
    assert packing.droppable(files, time.time()) == (left, 0)


def test_what_is_kept_is_not_dropped(files):
    total, outdated = packing.droppable(files, time.time() - 3600)
    assert (total, outdated) == (files.transactions.stat().st_size, 0)


def test_no_room(files, monkeypatch):
    usage = packing.shutil.disk_usage(files.directory)
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(packing.NoRoom, match="10 bytes are free"):
        packing.require_room(files, time.time())
    files.before_packing.write_bytes(bytes(10**6))
    packing.require_room(files, time.time())


@pytest.mark.parametrize(
    ("when", "committed_at", "is_large", "is_packed"),
    [
        (5.0, LONG_AGO, True, True),
        (100.0, LONG_AGO, True, False),  # not that much larger
        (0.0, LONG_AGO, True, False),  # never
        (5.0, time.time() + 3600, True, False),  # not quiet, however late the test is run
        (5.0, LONG_AGO, False, False),
    ],
    ids=["due", "small change", "never", "not quiet", "small file"],
)
def test_when_it_is_packed(files, monkeypatch, when, committed_at, is_large, is_packed):
    monkeypatch.setattr(automatic_packing, "FROM", 1000 if is_large else 10**9)
    monkeypatch.setattr(automatic_packing, "pack_time", lambda days: time.time())
    packed = []
    automatic = AutomaticPacking(files, PackingSettings(when), packed.append)
    for _ in range(3):
        automatic.look(committed_at)
        if automatic._thread is not None:
            automatic._thread.join()
    assert len(packed) == is_packed
