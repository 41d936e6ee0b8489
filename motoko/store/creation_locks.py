"""The lock that a study's processes take to create runs, and what its holder has to have seen."""

from __future__ import annotations

import contextlib
import os

from motoko.host.locks import FileLock

_TID_BYTES = 8


class CreationLock:
    """A study's lock, held; its file says which transaction the last holder has left behind.

    Whoever has been told of that transaction by the server sees all that was committed under the
    lock, without asking the server. A holder that is killed leaves nothing in the file, and so do
    others that hold the lock: then the next one asks.

    Args:
        lock: the lock of the file.

    Attributes:
        seen: the transaction; ``None`` if it is not known.
    """

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock
        content = os.pread(lock.descriptor, _TID_BYTES, 0)
        self.seen = content if any(content) and len(content) == _TID_BYTES else None
        self._write(bytes(_TID_BYTES))

    def release(self, seen: bytes | None = None) -> None:
        """Release it; ``seen``: a transaction after which nothing was committed under the lock."""
        if seen is not None:
            self._write(seen)
        self._lock.release()

    def _write(self, tid: bytes) -> None:
        with contextlib.suppress(OSError):  # some file systems lock files that cannot be written
            os.pwrite(self._lock.descriptor, tid, 0)
