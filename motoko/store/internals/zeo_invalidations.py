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
# Of the log, in which records take 300 bytes: read within two seconds.
SIZE_MAX = 32 << 20

Invalidations = list[tuple[bytes, list[bytes]]]


def limit_invalidations(server: ZEOServer, log: Path) -> None:
    """Have a server whose storage is open remember few of the last transactions if they are large.

    It tells clients that come back what they have missed, and those that were away for longer to
    forget what they know. Ten thousand transactions are remembered, whatever they have written: of
    a study that was filled in large steps that is all of it, and takes minutes.
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
    # Whoever knows the last one has missed nothing, and what it has written is not asked for.
    return read(count) if count else [(storage.lastTransaction(), [])]
