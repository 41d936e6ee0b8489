"""Into ZEO's server: keeping in memory what a transaction sends; see ``zeo_transactions``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ZEO.StorageServer
from ZEO.StorageServer import CommitLog

from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.zeo_transactions import Entries

_LOG = "ZEO.StorageServer:CommitLog"
relies_on(
    "ZEO",
    *(Need(_LOG, name, set_by="__init__") for name in ("file", "pickler", "stores")),
    Need(_LOG, "pickler", set_by="store"),
    Need(_LOG, "file", set_by="close"),
    Need(_LOG, "__iter__", ("self",)),
)


def keep_in_memory() -> None:
    """Have this process's server do so."""
    ZEO.StorageServer.CommitLog = _MemoryLog


class _MemoryLog(CommitLog):  # type: ignore[misc]  # ZEO has no types
    """What a client's transaction has sent: method names of the storage, and arguments."""

    def __init__(self) -> None:
        self.file = self.pickler = Entries()
        self.stores = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.file)
