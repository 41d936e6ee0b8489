"""Into ZEO's server: how it packs, and whether the file it serves is still the one in its place."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ZEO.runzeo import ZEOServer
from ZODB.serialize import referencesf

from motoko.store.internals.self_check import Need, relies_on
from motoko.store.log_end import seconds_of

_STORAGE = "ZODB.FileStorage.FileStorage:FileStorage"
relies_on(
    "ZODB",
    Need(_STORAGE, "pack", ("self", "t", "referencesf", "gc")),
    Need(_STORAGE, "pack_keep_old", set_by="__init__"),
    Need(_STORAGE, "_file", set_by="__init__"),
    Need("ZODB.BaseStorage:BaseStorage", "_lock", set_by="__init__"),
)
# Packing is Python: another thread of the process waits for this long until it gets its turn. With
# Python's default, 5 ms, commits take ten times as long meanwhile.
_TURN_S = 0.0005

# A context for packing up to a moment; an error when it is entered keeps the storage from packing.
Around = Callable[[float], contextlib.AbstractContextManager[None]]


def pack_within(server: ZEOServer, around: Around) -> None:
    """Have a server whose storages are open pack within a context, and keep no former file.

    It packs in a thread of its own, whoever has asked for it.
    """
    for storage in server.storages.values():
        storage.pack_keep_old = False
        storage.pack = partial(_pack, storage.pack, around)


def pack_storages(server: ZEOServer, until: float) -> None:
    """Pack a server's database in this thread, as if a client had asked for it."""
    for storage in server.storages.values():
        storage.pack(until, referencesf)


def serves(server: ZEOServer, path: Path) -> bool:
    """Whether a server's file is the one at a path. Waits while packing replaces it."""
    for storage in server.storages.values():
        with storage._lock:
            try:
                same = os.path.samestat(os.fstat(storage._file.fileno()), path.stat())
            except (OSError, ValueError):
                return False
        if not same:
            return False
    return True


def last_commit(server: ZEOServer) -> float:
    """When the newest transaction of a server was committed (seconds since 1970)."""
    newest = max(storage.lastTransaction() for storage in server.storages.values())
    return seconds_of(newest)


def _pack(pack: Callable[..., None], around: Around, until: float, references: Any) -> None:
    with around(until), _short_turns():
        pack(until, references)


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
