"""A study's mirror as a file: made anew whenever it is not surely the database's.

It is SQLite's, with a write-ahead log beside it, so that whoever reads is in nobody's way. The log
has checksums of its own. Of the file itself a digest is kept: it is written at checkpoints alone,
which come seldom, and in a thread of their own. They alone wait for a disk: what of the log a crash
of the machine takes away is read from the database again.
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

# What SQLite raises of files that are damaged, full disks, and what else there is.
MIRROR_ERRORS = (sqlite3.Error, OSError)
ROWS_MIN = 2_000  # that are written between two checkpoints; more of a large file
ROW_BYTES = 8_192  # that a row adds to the log, at most on the whole
PART = 1 << 20
CACHE_KB = 8_192
BUSY_S = 5.0


class NotUsable(Exception):
    """A mirror that is not, or not surely, the database's; says why."""


class Mirror:
    """A mirror that is written: only the study's watcher does.

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
        # Kept open: closing it would let go of the locks that SQLite has on the same file.
        self._file = file
        self._connection = connection
        self._checkpoint: threading.Thread | None = None
        self._checked_at = connection.total_changes
        self._written: list[int] | None = None  # when, and how much, at the last checkpoint

    @classmethod
    def in_memory(cls, *, with_values: bool = True) -> Mirror:
        """An empty one that nobody else can read."""
        connection = _in_memory()
        return cls(connection, MirrorTables(connection, is_new=True, with_values=with_values))

    @classmethod
    def new(cls, path: Path) -> Mirror:
        """An empty one in place of what there is; of ``MIRROR_ERRORS`` where it cannot be."""
        path.parent.mkdir(mode=0o700, exist_ok=True)  # and nothing above: that may have been moved
        remove(path)
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        return cls._opened(path, file, is_new=True)

    @classmethod
    def existing(cls, path: Path, witness: bytes, newest: bytes) -> Mirror:
        """The one that there is.

        Raises ``NotUsable`` unless it is that of the database with this witness, and not newer than
        its newest transaction; of ``MIRROR_ERRORS`` if it cannot be told.
        """
        is_whole = check_file(path)
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        mirror = cls._opened(path, file, is_new=False)
        try:
            check_meta(mirror.tables.meta(), witness, newest)
            if is_whole:
                mirror.note_digest(read_json(_digest(path)) or {})  # that it is used here
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
        """A copy in memory: its file can no longer be written."""
        return Mirror.copy_of(self.tables)

    @classmethod
    def copy_of(cls, tables: MirrorTables) -> Mirror:
        """A copy in memory of what is in some tables; raises ``sqlite3.Error``."""
        connection = _in_memory()
        tables.flush()
        tables.connection.backup(connection)
        return cls(connection, MirrorTables(connection, is_new=False))

    def saved(self, path: Path) -> Mirror:
        """A copy in a file, in place of what there is; of ``MIRROR_ERRORS`` where it cannot be."""
        mirror = Mirror.new(path)
        try:
            self.tables.flush()
            self._connection.backup(mirror.tables.connection)
            mirror.tables.forget()
            mirror.checkpoint()
        except BaseException:
            mirror.leave()
            raise
        return mirror

    @property
    def is_in_place(self) -> bool:
        """Whether others who look for the file find this one."""
        if self.path is None:
            return True
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._file))
        except OSError:
            return False

    @property
    def is_pending(self) -> bool:
        """Whether something was written that others cannot read yet."""
        return self._connection.in_transaction

    def begin(self) -> None:
        """From now on nothing is there for others until :meth:`commit`; harmless when repeated."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """What was written is there for all; some time later, while a checkpoint is made."""
        if not self._connection.in_transaction or (
            self._checkpoint is not None and self._checkpoint.is_alive()
        ):
            return
        self.check_untouched()
        self.tables.flush()
        self._connection.execute("COMMIT")
        if self.path is not None:
            rows = self._connection.total_changes - self._checked_at
            if rows > max(ROWS_MIN, os.fstat(self._file).st_size // 4 // ROW_BYTES):
                self._checked_at = self._connection.total_changes
                self._checkpoint = threading.Thread(
                    target=self._try_checkpoint, name=f"checkpoint-{self.path.stem}", daemon=True
                )
                self._checkpoint.start()

    def check_untouched(self) -> None:
        """Raise ``sqlite3.DatabaseError`` if somebody else has written into the file."""
        if self._written is None or (self._checkpoint is not None and self._checkpoint.is_alive()):
            return
        if _written(os.fstat(self._file)) != self._written:
            raise sqlite3.DatabaseError("somebody else has written into its file")

    def rollback(self) -> None:
        """What was written since the last commit was not."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self.tables.forget()

    def checkpoint(self) -> None:
        """Commit, and make a checkpoint now. Raises of ``MIRROR_ERRORS``."""
        self._wait()
        self.commit()
        self._wait()  # that may have begun one
        self._make_checkpoint()

    def _make_checkpoint(self) -> None:
        """Have the file hold what its log does, and note its digest; nobody commits meanwhile."""
        if self.path is None:
            return
        if self._written not in (None, _written(os.fstat(self._file))):
            return  # what is in it is not given a digest that says that it is right
        self._written = None
        _note_digest(self.path)
        with contextlib.closing(_connected(self.path, syncs=True)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self.note_digest({"crc": _crc(self._file), "salt": _salt(self.path)})

    def note_digest(self, digest: Mapping[str, Any]) -> None:
        """Note the digest, and when the file that it is of was written."""
        assert self.path is not None
        self._written = _written(os.fstat(self._file))
        _note_digest(self.path, **{**digest, "written": self._written})

    def _try_checkpoint(self) -> None:
        try:
            self._make_checkpoint()
        except MIRROR_ERRORS as error:
            # It is tried again at the next one.
            log.warning("no checkpoint of the mirror %s: %s", self.path, error)

    def _wait(self) -> None:
        if self._checkpoint is not None:
            self._checkpoint.join()

    def close(self) -> None:
        """Leave it for the next; what was not committed is lost. Raises of ``MIRROR_ERRORS``."""
        try:
            self.rollback()
            # Who closes last makes a checkpoint; this one is followed by a digest.
            if self.is_in_place:
                self.checkpoint()
        finally:
            self.leave()

    def leave(self) -> None:
        """Leave it: nobody will want what is in it."""
        self._wait()
        self._connection.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


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
    """Raise ``NotUsable`` unless others than its watcher may read a mirror now.

    Of a file that is being written nobody but its writer knows whether it is whole; that has looked
    at it. One that is written on another host cannot be read here.
    """
    if not path.exists():
        raise NotUsable("there is none")
    digest = _checked_digest(path)
    if is_watched:
        if digest.get("boot_id") != boot_id():
            raise NotUsable("its watcher runs on another host, or since another start of this one")
        # A checkpoint that begins now takes the digest away before it writes into the file.
        is_other = "crc" in digest and digest.get("written") != _written(path.stat())
        if is_other and _checked_digest(path) == digest:
            raise NotUsable("somebody else than its watcher has written into it")
    elif "crc" not in digest:
        raise NotUsable("its watcher has died in the middle of a checkpoint")
    else:
        _check_digest(path, digest)


def _checked_digest(path: Path) -> dict[str, Any]:
    digest = read_json(_digest(path))
    if digest is None:
        raise NotUsable("nothing says what belongs into it")
    if digest.get("layout") != LAYOUT:
        raise NotUsable(f"its layout is {digest.get('layout')!r}, not {LAYOUT}")
    return digest


def _check_digest(path: Path, digest: Mapping[str, Any]) -> None:
    with open(path, "rb") as file:
        if digest["crc"] != _crc(file.fileno()):
            raise NotUsable("it is damaged")
    # Each log is begun anew after the checkpoint of the one before, and counts on.
    salt, checked = _salt(path), digest.get("salt")
    if salt is not None and checked is not None and (salt - checked) % (1 << 32) > 1:
        raise NotUsable("its log is that of another one")


def check_meta(meta: Mapping[str, Any], witness: bytes, newest: bytes) -> None:
    """Raise ``NotUsable`` unless a mirror is that of a database, and no newer than that."""
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
        # NORMAL would wait for the first commit after each checkpoint, too.
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
    """What changes with whatever is written into a file: when that was, and its size."""
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
    """The number of SQLite's log; ``None`` if there is nothing in it."""
    try:
        with open(f"{path}-wal", "rb") as file:
            header = file.read(32)
    except FileNotFoundError:
        return None
    return int.from_bytes(header[16:20], "big") if len(header) == 32 else None
