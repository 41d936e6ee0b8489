"""A mirror's file that somebody else writes into, while it is in use."""

import shutil
import sqlite3

import pytest
from support import wait_until

from motoko.mirror.mirror_file import Mirror, NotUsable, check_file, check_readable
from motoko.mirror.mirror_tables import RUNS, Owner


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mirror" / "study.sqlite"


@pytest.fixture
def mirror(path):
    mirror = Mirror.new(path)
    mirror.begin()
    for number in range(100):
        mirror.tables.add(Owner(RUNS, number), number)
    mirror.tables.note(tid="01", witness="02")
    mirror.checkpoint()
    check_readable(path, is_watched=True)
    yield mirror
    mirror.leave()


def write_into(path):
    """Change a byte until the file system's clock has moved on."""
    before = path.stat().st_mtime_ns

    def is_noticeable():
        with open(path, "r+b") as file:
            file.seek(5_000)
            (byte,) = file.read(1)
            file.seek(5_000)
            file.write(bytes([(byte + 1) % 256]))
        return path.stat().st_mtime_ns != before

    wait_until(is_noticeable, "its time changes")


def test_nobody_reads_it(mirror, path):
    write_into(path)
    with pytest.raises(NotUsable, match="a process other than its watcher"):
        check_readable(path, is_watched=True)


def test_nothing_is_committed(mirror, path):
    mirror.begin()
    mirror.tables.add(Owner(RUNS, 1000), 1000)
    write_into(path)
    with pytest.raises(sqlite3.DatabaseError, match="somebody else"):
        mirror.commit()


def test_it_is_not_said_to_be_whole(mirror, path):
    write_into(path)
    mirror.close()
    with pytest.raises(NotUsable, match="damaged"):
        check_file(path)


def test_after_another_checkpoint_it_is_read(mirror, path):
    mirror.begin()
    mirror.tables.add(Owner(RUNS, 1000), 1000)
    mirror.checkpoint()
    check_readable(path, is_watched=True)
    mirror.check_untouched()


def test_a_log_that_was_begun_anew_is_its_own(mirror, path, tmp_path):
    """A closed mirror has no log; that of the next watcher begins with another salt."""
    mirror.close()
    again = Mirror.existing(path, b"\x02", b"\x01")
    check_readable(path, is_watched=False)
    again.begin()
    again.tables.add(Owner(RUNS, 1000), 1000)
    again.commit()
    # As if its watcher was killed now: SQLite removes the log when it is closed.
    killed = tmp_path / "killed"
    shutil.copytree(path.parent, killed)
    check_readable(killed / path.name, is_watched=False)
    again.leave()
    # Another one's log, from further on in its life, is still noticed.
    other = killed / f"{path.name}-wal"
    header = bytearray(other.read_bytes())
    header[16:20] = (int.from_bytes(header[16:20], "big") + 7).to_bytes(8, "big")[-4:]
    other.write_bytes(header)
    with pytest.raises(NotUsable, match="log is that of another"):
        check_readable(killed / path.name, is_watched=False)
