"""Reading a mirror: its tables at one moment, which do not change while they are read.

Nothing is written, also not by SQLite. Where this account could not write, SQLite must not try: it
reads the index of the log that is there, and a mirror without a log is copied into memory.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from motoko.mirror.mirror_tables import MirrorTables

BUSY_S = 5.0


class JustWritten(sqlite3.OperationalError):
    """A mirror was written while it was copied."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[MirrorTables]:
    """A mirror's tables as of its last commit, while the block runs; nothing can be written.

    Raises of ``MIRROR_ERRORS`` if they cannot be read, also later, in the block.
    """
    with contextlib.closing(_opened(path)) as connection:
        connection.execute("BEGIN")
        yield MirrorTables(connection, is_new=False)


def uri_of(path: Path) -> str | None:
    """How SQLite may open a mirror for reading; ``None`` if it has to be copied."""
    if os.access(path.parent, os.W_OK) and os.access(path, os.W_OK):
        return _uri(path, "mode=ro")
    if Path(f"{path}-wal").exists():
        return _uri(path, "mode=ro&readonly_shm=1")
    return None


def _opened(path: Path) -> sqlite3.Connection:
    uri = uri_of(path)
    return _copied(path) if uri is None else _connected(uri)


def _copied(path: Path) -> sqlite3.Connection:
    """A copy of a mirror that nobody has open. Raises ``JustWritten`` if somebody opens it."""
    before = path.stat()
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        with contextlib.closing(_connected(_uri(path, "immutable=1"))) as file:
            file.backup(copy)
        after = path.stat()
        if (before.st_ino, before.st_mtime_ns, before.st_size) != (
            *(after.st_ino, after.st_mtime_ns, after.st_size),
        ):
            raise JustWritten(f"{path} was written just now")
    except BaseException:
        copy.close()
        raise
    return copy


def _uri(path: Path, options: str) -> str:
    return f"file:{quote(str(path))}?{options}"


def _connected(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
