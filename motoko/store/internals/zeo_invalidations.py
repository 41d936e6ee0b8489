"""Into ZEO's server: how much of the database's log it reads again before it serves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ZEO.runzeo import ZEOServer

from motoko.store.internals.self_check import Need, relies_on
from motoko.store.log_end import NoEnd, last_fitting

relies_on(
    "ZEO",
    Need("ZEO.StorageServer:StorageServer", "_setup_invq", ("self", "name", "storage")),
    Need("ZODB.FileStorage.FileStorage:FileStorage", "lastInvalidations", ("self", "count")),
)
# Of the log, in which a record takes 300 bytes: this much is read within two seconds.
SIZE_MAX = 32 << 20

Invalidations = list[tuple[bytes, list[bytes]]]


def limit_invalidations(server: ZEOServer, log: Path) -> None:
    """Have a server whose storage is open remember few of the last transactions if they are large.

    The server tells clients that come back what they have missed, and has those that were away for
    longer forget what they know. ZEO remembers ten thousand transactions, however large. For a
    study that was filled in large steps these are the whole log, and reading it takes minutes.
    """
    for storage in server.storages.values():
        storage.lastInvalidations = partial(_last, storage, log, storage.lastInvalidations)


def _last(
    storage: Any, log: Path, read: Callable[[int], Invalidations], count: int
) -> Invalidations:
    try:
        count = min(count, last_fitting(log, SIZE_MAX, count))
    except NoEnd:
        count = 0
    # A client that knows the last transaction has missed nothing: what it wrote is not needed.
    return read(count) if count else [(storage.lastTransaction(), [])]
