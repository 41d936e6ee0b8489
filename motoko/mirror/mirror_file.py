"""A study's mirror as a file. It is made anew if it is not certain to be the database's.

SQLite writes it, with a write-ahead log, so that readers and the writer do not wait for each other.
The log has checksums of its own. A digest of the file itself is kept: the file is written at
checkpoints only, which are rare, and run in a thread of their own. Only checkpoints wait for a
disk: what a crash of the machine removes from the log is read from the database again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from motoko.host.files import read_json, write_atomically
from motoko.host.proc_files import boot_id
from motoko.mirror.mirror_tables import LAYOUT, MirrorTables

log = logging.getLogger(__name__)

# Raised for damaged files, full disks and the like.
MIRROR_ERRORS = (sqlite3.Error, OSError)
ROWS_MIN = 2_000  # written between two checkpoints; more if the file is large
ROW_BYTES = 8_192  # that a row adds to the log: at most, on average
PART = 1 << 20
CACHE_KB = 8_192
BUSY_S = 5.0


class NotUsable(Exception):
    """A mirror that is not certain to be the database's; the message says why."""


class Mirror:
    """A mirror open for writing. Only the study's watcher writes its file.

    Attributes:
        tables: what is in it.
        path: its file; ``None`` if it is in memory.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        tables: MirrorTables,
        path: Path | None = None,
        file: int = -1,
    ) -> None:
        self.tables = tables
        self.path = path
        # Kept open: closing it would release the locks that SQLite holds on the same file.
        self._file = file
        self._connection = connection
        self._checkpoint: threading.Thread | None = None
        self._checked_at = connection.total_changes
        self._written: list[int] | None = None  # the file's time and size at the last checkpoint
        self._digest_to_complete: Mapping[str, Any] | None = None  # it lacks the log's salt

    @classmethod
    def in_memory(cls, *, with_values: bool = True) -> Mirror:
        """An empty mirror that no other process can read."""
        connection = _in_memory()
        return cls(connection, MirrorTables(connection, is_new=True, with_values=with_values))

    @classmethod
    def new(cls, path: Path) -> Mirror:
        """An empty mirror, in place of any file there; raises of ``MIRROR_ERRORS``."""
        path.parent.mkdir(exist_ok=True)  # no parents: the workflow may have been moved
        remove(path)
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        return cls._opened(path, file, is_new=True)

    @classmethod
    def existing(cls, path: Path, witness: bytes, newest: bytes) -> Mirror:
        """The mirror in a file.

        Raises ``NotUsable`` unless it is the mirror of the database with this witness, and no newer
        than the database's newest transaction; of ``MIRROR_ERRORS`` if the file cannot be read.
        """
        is_whole = check_file(path)
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        mirror = cls._opened(path, file, is_new=False)
        try:
            check_meta(mirror.tables.meta(), witness, newest)
            if is_whole:
                # With this host's boot id; SQLite begins a missing log with another salt.
                mirror.note_digest({**(read_json(_digest(path)) or {}), "salt": _salt(path)})
            else:
                mirror.checkpoint()
        except BaseException:
            mirror.leave()
            raise
        return mirror

    @classmethod
    def _opened(cls, path: Path, file: int, *, is_new: bool) -> Mirror:
        try:
            connection = _connected(path)
            try:
                mirror = cls(connection, MirrorTables(connection, is_new=is_new), path, file)
                if is_new:
                    mirror.checkpoint()
                return mirror
            except BaseException:
                connection.close()
                raise
        except BaseException:
            os.close(file)
            raise

    def in_memory_too(self) -> Mirror:
        """A copy in memory, for a mirror whose file can no longer be written."""
        return Mirror.copy_of(self.tables)

    @classmethod
    def copy_of(cls, tables: MirrorTables) -> Mirror:
        """A copy in memory of what is in some tables; raises ``sqlite3.Error``."""
        connection = _in_memory()
        tables.flush()
        tables.connection.backup(connection)
        return cls(connection, MirrorTables(connection, is_new=False))

    def saved(self, path: Path) -> Mirror:
        """A copy in a file, in place of any file there; raises of ``MIRROR_ERRORS``."""
        return Mirror.file_of(self.tables, path)

    @classmethod
    def file_of(cls, tables: MirrorTables, path: Path) -> Mirror:
        """A file with what is in some tables, in place of any file there; raises as `saved`."""
        mirror = Mirror.new(path)
        try:
            tables.flush()
            tables.connection.backup(mirror.tables.connection)
            mirror.tables.forget()
            mirror.checkpoint()
        except BaseException:
            mirror.leave()
            raise
        return mirror

    @property
    def is_in_place(self) -> bool:
        """Whether the path still leads to this file."""
        if self.path is None:
            return True
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._file))
        except OSError:
            return False

    @property
    def is_pending(self) -> bool:
        """Whether something was written that readers cannot see yet."""
        return self._connection.in_transaction

    def begin(self) -> None:
        """Begin to write: readers see none of it before :meth:`commit`. Harmless when repeated."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Let readers see what was written. Does nothing while a checkpoint is being made."""
        if not self._connection.in_transaction or (
            self._checkpoint is not None and self._checkpoint.is_alive()
        ):
            return
        self.check_untouched()
        self.tables.flush()
        self._connection.execute("COMMIT")
        if self.path is not None:
            if self._digest_to_complete is not None:
                self.note_digest({**self._digest_to_complete, "salt": _salt(self.path)})
            rows = self._connection.total_changes - self._checked_at
            if rows > max(ROWS_MIN, os.fstat(self._file).st_size // 4 // ROW_BYTES):
                self._checked_at = self._connection.total_changes
                self._checkpoint = threading.Thread(
                    target=self._try_checkpoint, name=f"checkpoint-{self.path.stem}", daemon=True
                )
                self._checkpoint.start()

    def settle(self) -> None:
        """Commit, even if a checkpoint is being made. Raises of ``MIRROR_ERRORS``."""
        self._wait()
        self.commit()

    def check_untouched(self) -> None:
        """Raise ``sqlite3.DatabaseError`` if another process has written into the file."""
        if self._written is None or (self._checkpoint is not None and self._checkpoint.is_alive()):
            return
        if _written(os.fstat(self._file)) != self._written:
            raise sqlite3.DatabaseError("somebody else has written into its file")

    def rollback(self) -> None:
        """Undo what was written since the last commit."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self.tables.forget()

    def checkpoint(self) -> None:
        """Commit, and make a checkpoint now. Raises of ``MIRROR_ERRORS``."""
        self.settle()
        self._wait()  # the commit may have begun a checkpoint
        self._make_checkpoint()

    def _make_checkpoint(self) -> None:
        """Copy the log into the file, and note the file's digest; no commit is made meanwhile."""
        if self.path is None:
            return
        if self._written not in (None, _written(os.fstat(self._file))):
            return  # another process wrote into it: no digest may call that right
        self._written = self._digest_to_complete = None
        _note_digest(self.path)
        with contextlib.closing(_connected(self.path, syncs=True)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self.note_digest({"crc": _crc(self._file), "salt": _salt(self.path)})

    def note_digest(self, digest: Mapping[str, Any]) -> None:
        """Note the digest of the file, and when the file was written.

        A log that does not exist yet has no salt: the next commit completes the digest.
        """
        assert self.path is not None
        self._digest_to_complete = digest if digest.get("salt") is None else None
        self._written = _written(os.fstat(self._file))
        _note_digest(self.path, **{**digest, "written": self._written})

    def _try_checkpoint(self) -> None:
        try:
            self._make_checkpoint()
        except MIRROR_ERRORS as error:
            # The next checkpoint tries again.
            log.warning("no checkpoint of the mirror %s: %s", self.path, error)

    def _wait(self) -> None:
        if self._checkpoint is not None:
            self._checkpoint.join()

    def close(self) -> None:
        """Close it; what was not committed is lost. Raises of ``MIRROR_ERRORS``."""
        try:
            self.rollback()
            # Closing the last connection makes a checkpoint too, but only this one notes a digest.
            if self.is_in_place:
                self.checkpoint()
        finally:
            self.leave()

    def leave(self) -> None:
        """Close it as it is, without a checkpoint."""
        self._wait()
        self._connection.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def drop_log(path: Path) -> None:
    """Have a mirror that nobody will write again do without a log: reading makes no files then."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with open(path, "rb") as file:
        _note_digest(path, crc=_crc(file.fileno()), salt=None)


def remove(path: Path) -> None:
    """Remove a mirror with all that belongs to it."""
    for name in (_digest(path), path, *(Path(f"{path}-{end}") for end in ("wal", "shm"))):
        name.unlink(missing_ok=True)


def check_file(path: Path) -> bool:
    """Whether a mirror's file is whole, and not in the middle of a checkpoint.

    Raises ``NotUsable`` unless it is as it was written.
    """
    if not path.exists():
        raise NotUsable("there is none")
    digest = _checked_digest(path)
    if "crc" not in digest:
        # SQLite goes on with the checkpoint, from its log.
        with contextlib.closing(_connected(path, syncs=True)) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise NotUsable("it is damaged")
        return False
    _check_digest(path, digest)
    return True


def check_readable(path: Path, is_watched: bool) -> None:
    """Raise ``NotUsable`` unless processes other than its watcher may read a mirror now.

    Only its watcher knows whether a file that is being written is whole: the watcher has checked
    it. A file that is written on another host cannot be read here.
    """
    if not path.exists():
        raise NotUsable("there is none")
    digest = _checked_digest(path)
    if is_watched:
        if digest.get("boot_id") != boot_id():
            raise NotUsable("its watcher runs on another host, or this host was rebooted since")
        # A checkpoint that begins now removes the digest before it writes into the file.
        is_other = "crc" in digest and digest.get("written") != _written(path.stat())
        if is_other and _checked_digest(path) == digest:
            raise NotUsable("a process other than its watcher has written into it")
    elif "crc" not in digest:
        raise NotUsable("its watcher has died in the middle of a checkpoint")
    else:
        _check_digest(path, digest)


def _checked_digest(path: Path) -> dict[str, Any]:
    digest = read_json(_digest(path))
    if digest is None:
        raise NotUsable("it has no digest")
    if digest.get("layout") != LAYOUT:
        raise NotUsable(f"its layout is {digest.get('layout')!r}, not {LAYOUT}")
    return digest


def _check_digest(path: Path, digest: Mapping[str, Any]) -> None:
    with open(path, "rb") as file:
        if digest["crc"] != _crc(file.fileno()):
            raise NotUsable("it is damaged")
    # After a checkpoint SQLite begins the log anew, with its salt one higher.
    salt, checked = _salt(path), digest.get("salt")
    if salt is not None and checked is not None and (salt - checked) % (1 << 32) > 1:
        raise NotUsable("its log is that of another one")


def check_meta(meta: Mapping[str, Any], witness: bytes, newest: bytes) -> None:
    """Raise ``NotUsable`` unless a mirror is that of this database, and no newer than it."""
    if "tid" not in meta or "witness" not in meta:
        raise NotUsable("it was not finished")
    if meta["witness"] != witness.hex():
        raise NotUsable("it is that of another database")
    if meta["tid"] > newest.hex():
        raise NotUsable("it is newer than the database")


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def _connected(path: Path, *, syncs: bool = False) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode=rw"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL would wait for the disk at the first commit after each checkpoint, too.
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if syncs else 'OFF'}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
    except BaseException:
        connection.close()
        raise
    return connection


def _note_digest(path: Path, **digest: Any) -> None:
    text = json.dumps({**digest, "layout": LAYOUT, "boot_id": boot_id()})
    write_atomically(_digest(path), text)


def _written(status: os.stat_result) -> list[int]:
    """What every write into a file changes: its time of modification, and its size."""
    return [status.st_mtime_ns, status.st_size]


def _digest(path: Path) -> Path:
    return path.with_suffix(".digest")


def _crc(file: int) -> int:
    crc = place = 0
    while part := os.pread(file, PART, place):
        crc = zlib.crc32(part, crc)
        place += len(part)
    return crc


def _salt(path: Path) -> int | None:
    """The salt of SQLite's log, a count; ``None`` if there is nothing in the log."""
    try:
        with open(f"{path}-wal", "rb") as file:
            header = file.read(32)
    except FileNotFoundError:
        return None
    return int.from_bytes(header[16:20], "big") if len(header) == 32 else None
