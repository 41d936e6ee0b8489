"""Reading a mirror: its tables at one moment, which do not change while they are read."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from motoko.mirror.mirror_tables import MirrorTables

BUSY_S = 5.0


@contextlib.contextmanager
def reading(path: Path) -> Iterator[MirrorTables]:
    """A mirror's tables as of its last commit, while the block runs; nothing can be written.

    Raises of ``MIRROR_ERRORS`` if they cannot be read, also later, in the block.
    """
    uri = f"file:{quote(str(path))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("BEGIN")
        yield MirrorTables(connection, is_new=False)
