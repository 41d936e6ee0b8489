"""Copies of a database's file, made while it is written.

For backups ZODB's repozo does the copying: a copy is a chain of files in a directory, the whole
database, and what was added later. Packing begins a new chain.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from ZODB.FileStorage import FileStorage
from ZODB.FileStorage.FileStorage import FileStorageError
from ZODB.scripts import repozo

from motoko.config.database_files import DatabaseFiles
from motoko.errors import BadBackup, StudyUnavailable
from motoko.host.locks import locked
from motoko.store.log_end import NoEnd, complete_end, written_before

_NAME = "%04d-%02d-%02d-%02d-%02d-%02d"  # repozo's, in UTC
_WHOLE, _ADDED = ".fs", ".deltafs"
_SHORT_S = 1.0  # repozo's names have whole seconds
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_PART = 1 << 20
_TRIES = 50  # to read the end of a log that is being written


@dataclass(frozen=True)
class Copied:
    """A copy of a database.

    Attributes:
        name: its last file, without the ending; the date is UTC.
        tid: the last transaction in it (hexadecimal).
        size: how many bytes the database has up to there.
        added: how many of them were copied this time.
        is_whole: whether the whole database was copied.
        inode: the number of the database's file, which is another one after packing.
    """

    name: str
    tid: str
    size: int
    added: int
    is_whole: bool
    inode: int


def copy(
    files: DatabaseFiles, place: Path, before: tuple[str, int] | None, *, whole: bool
) -> Copied:
    """Copy what a database has, or what it has more than its last copy.

    Args:
        files: the database's.
        place: the directory of its copies; nobody else writes there.
        before: the name of the last copy there, and the number of the file that it is of.
        whole: copy the whole database, whatever there is.
    """
    place.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(place)
    log = files.transactions
    with locked(files.packing_lock, shared=True):
        inode = log.stat().st_ino
        whole = whole or before is None or before[1] != inode
        options = _options(file=str(log.absolute()), full=whole, quick=True, test_now=_free(place))
        try:
            with contextlib.chdir(place):
                repozo.do_backup(options)
        except repozo.RepozoError as error:
            raise BadBackup(f"{place}: {error}", hint="back up into another directory") from error
        name, start, end = _last(place)
        added = end - start
        if before is not None and name == before[0]:  # nothing was written meanwhile
            added = 0
        newest = next(written_before(log, end))
    return Copied(name, newest.tid.hex(), end, added, added > 0 and start == 0, inode)


def copy_now(files: DatabaseFiles, target: Path) -> str:
    """Write a database as it is now into a new file; returns its last transaction (hexadecimal).

    Nothing is written beside the database, not even a lock: packing replaces the file, and what is
    copied is the file that was there. Raises ``StudyUnavailable`` if it is no database.
    """
    log = files.transactions
    with open(log, "rb") as source, open(target, "xb") as copied:
        tid, size = _complete(log, source)
        source.seek(0)
        while size and (part := source.read(min(size, _PART))):
            copied.write(part)
            size -= len(part)
    return tid.hex()


def _complete(log: Path, file: BinaryIO) -> tuple[bytes, int]:
    """The last transaction of a database that may be written now, and where it ends."""
    for _ in range(_TRIES):
        try:
            return complete_end(file)
        except NoEnd:
            time.sleep(_SHORT_S / 50)
    # The process that wrote it was killed: ZODB knows where the last whole transaction ends.
    try:
        storage = FileStorage(str(log), read_only=True)
    except (FileStorageError, ValueError) as error:
        raise StudyUnavailable(f"{log} cannot be read: {error}") from error
    with contextlib.closing(storage):
        return storage.lastTransaction(), storage.getSize()


def copy_served(storage: Any, target: Path) -> str:
    """As :func:`copy_now`, of a database that another host has, through its server."""
    copied = FileStorage(str(target), create=True)
    try:
        copied.copyTransactionsFrom(storage)
        tid: bytes = copied.lastTransaction()
    finally:
        copied.close()
        for suffix in (".index", ".lock", ".tmp"):
            target.with_name(f"{target.name}{suffix}").unlink(missing_ok=True)
    return tid.hex()


def add_index(transactions: Path) -> None:
    """Write the index of a database that nobody serves: without one, readers read all of it."""
    FileStorage(str(transactions)).close()
    for suffix in (".lock", ".tmp"):
        transactions.with_name(f"{transactions.name}{suffix}").unlink(missing_ok=True)


def recover(place: Path, name: str, target: Path) -> None:
    """Write the database of a copy into a file, and check it.

    Raises ``BadBackup``; ``OSError`` if there is no room for it.
    """
    try:
        options = _options(date=name, output=str(target.absolute()), withverify=True)
        with contextlib.chdir(place):
            repozo.do_recover(options)
    except (repozo.RepozoError, OSError, KeyError, ValueError) as error:
        target.with_name(f"{target.name}.part").unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        hint = "`motoko backup DEST --verify` says more"
        raise BadBackup(f"{place}: {error}", hint=hint) from error
    target.with_name(f"{target.name}.index").unlink(missing_ok=True)


def verify(place: Path, name: str) -> None:
    """Check all files of the chain that a copy belongs to. Raises ``BadBackup``."""
    if name not in {_named(line) for line in _lines(place)}:
        raise BadBackup(f"{place}: the copy {name} is missing")
    try:
        with contextlib.chdir(place):
            repozo.do_verify(_options(date=name))
    except (repozo.RepozoError, OSError, ValueError) as error:
        raise BadBackup(f"{place}: {error}") from error


def remove_others(place: Path, names: Collection[str]) -> None:
    """Remove the chains that none of some copies belongs to; an empty directory is removed, too."""
    for chain in [*place.glob("*.dat")]:
        parts = {_named(line) for line in chain.read_text().splitlines()}
        if parts.isdisjoint(names):
            chain.unlink()  # first: what no list has is known as unfinished
            for path in [*place.iterdir()]:
                if path.stem in parts:
                    path.unlink()
    _remove_unfinished(place)
    if not any(place.iterdir()):
        place.rmdir()


def cut(log: Path, tid: bytes) -> bytes | None:
    """Remove what was committed after a transaction.

    Returns the last transaction that is left, ``None`` if there is none.

    The database must not be in use. Raises ``BadBackup`` if it was packed after the transaction.
    """
    end = log.stat().st_size
    try:
        for written in written_before(log):
            if written.tid <= tid:
                break
            if written.is_packed:
                raise BadBackup("the database was packed after that time")
            end = written.start
        else:
            return None
    except NoEnd as error:
        raise BadBackup(f"{log} ends in the middle of a transaction") from error
    os.truncate(log, end)
    return written.tid


def _options(**given: Any) -> SimpleNamespace:
    """Options of repozo. Its lists cannot name paths with spaces: it works in the directory."""
    usual = {"full": False, "date": None, "output": None, "quick": False, "gzip": False}
    return SimpleNamespace(
        **{**usual, "repository": ".", "killold": False, "withverify": False, **given}
    )


def _free(place: Path) -> tuple[int, ...]:
    """The present time for a name that no file in a directory has: repozo overwrites nothing."""
    taken = {path.name.partition(".")[0] for path in place.iterdir()}
    while _NAME % (now := time.gmtime()[:6]) in taken:
        time.sleep(_SHORT_S / 10)
    return now


def _remove_unfinished(place: Path) -> None:
    """Remove files that no list of a chain has: whoever wrote them was killed."""
    listed = {Path(line.split()[0]).name for line in _lines(place)}
    for path in place.iterdir():
        if path.suffix in (_WHOLE, _ADDED, ".tmp") and path.name not in listed:
            path.unlink()


def _last(place: Path) -> tuple[str, int, int]:
    """The last copy: its name, and the places in the database where it begins and ends."""
    line = max(_lines(place), key=_named)
    _, start, end, _ = line.split()
    return _named(line), int(start), int(end)


def _named(line: str) -> str:
    return Path(line.split()[0]).stem


def _lines(place: Path) -> list[str]:
    """All lines of the lists that repozo keeps, one for each chain."""
    return [line for path in place.glob("*.dat") for line in path.read_text().splitlines()]
