"""Into ZEO: what a transaction stores is kept in memory until its end, as long as it is not large.

ZEO's server and clients pickle each record into a temporary file, and read it from there, which
takes as long as storing it. Here only what is beyond a size is written into such a file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import ZEO.ClientStorage
from ZEO.TransactionBuffer import TransactionBuffer
from zodbpickle.pickle import Pickler, Unpickler

from motoko.store.internals.self_check import Need, relies_on

_BUFFER = "ZEO.TransactionBuffer:TransactionBuffer"
relies_on(
    "ZEO",
    Need("ZEO.ClientStorage", "TransactionBuffer"),
    *(
        Need(_BUFFER, name, set_by="__init__")
        for name in ("connection_generation", "count", "size", "blobs", "exception")
    ),
    *(Need(_BUFFER, name, set_by="__init__") for name in ("server_resolved", "client_resolved")),
    Need(_BUFFER, "pickler", set_by="store"),
    Need(_BUFFER, "file", set_by="close"),
    Need(_BUFFER, "__iter__", ("self",)),
)

KEPT_MAX = 16 << 20  # bytes of records in memory


def install() -> None:
    """Have all clients of this process do so; may be repeated."""
    ZEO.ClientStorage.TransactionBuffer = _MemoryBuffer


class Entries:
    """Takes the place of a file of pickles, and of what writes it.

    Args:
        kept_max: bytes of records that are kept in memory.
    """

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._room = kept_max
        self._kept: list[tuple[Any, ...]] = []
        self._file: IO[bytes] | None = None  # what comes when there is no more room
        self._starts: list[int] = []  # of the entries in the file

    def dump(self, entry: tuple[Any, ...]) -> None:
        """Add an entry: a tuple whose last element is a record, or a tuple that ends with one."""
        if self._room > 0:
            self._kept.append(entry)
            last = entry[-1][-1] if isinstance(entry[-1], tuple) else entry[-1]
            self._room -= len(last or b"")
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed at the transaction's end)
        self._starts.append(self._file.seek(0, os.SEEK_END))
        Pickler(self._file, 1).dump(entry)

    def tell(self) -> int:
        """How many entries there are."""
        return len(self._kept) + len(self._starts)

    def __iter__(self) -> Iterator[Any]:
        yield from self._kept
        for start in self._starts:
            assert self._file is not None
            self._file.seek(start)
            yield Unpickler(self._file).load()

    def close(self) -> None:
        """Forget all entries."""
        self._kept, self._starts = [], []
        if self._file is not None:
            self._file.close()


class _MemoryBuffer(TransactionBuffer):  # type: ignore[misc]  # ZEO has no types
    """What a client's transaction has stored."""

    def __init__(self, connection_generation: int) -> None:
        self.connection_generation = connection_generation
        self.file = self.pickler = Entries()
        self.count = self.size = 0
        self.blobs: list[Any] = []
        self.server_resolved: set[bytes] = set()
        self.client_resolved: dict[bytes, int] = {}
        self.exception = None

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None, bool]]:
        """Each record as it was stored last, and whether the server has stored something else."""
        left = set(self.server_resolved)
        for number, (oid, data) in enumerate(self.file):
            if self.client_resolved.get(oid, number) == number:
                left.discard(oid)
                yield oid, data, oid in self.server_resolved
        for oid in left:
            yield oid, None, True
