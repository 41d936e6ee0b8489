"""Into ZEO's client: what it remembers of records, in memory.

ZEO's own cache is a file. Each record that is loaded, stored or invalidated, and each transaction
that the server announces, is written into it, which takes longer than asking the server.
"""

from __future__ import annotations

import threading

from motoko.store.internals.self_check import Need, relies_on

relies_on(
    "ZEO",
    Need("ZEO.ClientStorage", "open_cache", ("cache", "var", "client", "storage", "cache_size")),
)

_NO_TID = bytes(8)


class MemoryCache:
    """The newest revisions of some records, as far as the server has announced any.

    ZEO's networking thread tells it what is announced. Any thread may ask: what it gives is right
    for every view of what has been announced.

    Args:
        size_max: bytes of records; the records that came first make room for others.
    """

    def __init__(self, size_max: int) -> None:
        self._lock = threading.RLock()  # ZEO's client holds it while it moves on to a transaction
        self._tid = _NO_TID
        self._size_max = size_max
        self._size = 0
        self._records: dict[bytes, tuple[bytes, bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def loadBefore(self, oid: bytes, before_tid: bytes) -> tuple[bytes, bytes, None] | None:
        """A record's content and the transaction that wrote it, if it came before ``before_tid``.

        ``None`` if that is not known.
        """
        record = self._records.get(oid)
        return record if record is not None and record[1] < before_tid else None

    def store(self, oid: bytes, start_tid: bytes, end_tid: bytes | None, data: bytes) -> None:
        """Remember a record, unless another transaction (``end_tid``) has replaced it."""
        if end_tid is not None:
            return
        with self._lock:
            self._forget(oid)
            self._records[oid] = data, start_tid, None
            self._size += len(data)
            while self._size > self._size_max:
                self._forget(next(iter(self._records)))

    def invalidate(self, oid: bytes, tid: bytes | None) -> None:
        """Another revision was written, by a transaction, unless that is what is remembered."""
        with self._lock:
            record = self._records.get(oid)
            if record is not None and record[1] != tid:
                self._forget(oid)

    def setLastTid(self, tid: bytes) -> None:
        """Note the newest transaction that was announced."""
        with self._lock:
            if tid and tid != _NO_TID:
                if tid < self._tid and self._records:
                    raise ValueError(f"transaction {tid.hex()} was announced too late")
                self._tid = tid

    def getLastTid(self) -> bytes:
        """The newest transaction that was announced; zeros if there is none."""
        with self._lock:
            return self._tid

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self.forget()
            self._tid = _NO_TID

    def forget(self) -> None:
        """Forget all records."""
        with self._lock:
            self._records.clear()
            self._size = 0

    def close(self) -> None:
        """Forget all records: the client will not ask again."""
        self.forget()

    def _forget(self, oid: bytes) -> None:
        record = self._records.pop(oid, None)
        if record is not None:
            self._size -= len(record[0])
