"""A ZEO client that outlives its server's death."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import ZEO.asyncio.client
import ZODB
from ZEO.ClientStorage import ClientStorage
from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import ConflictError, StorageTransactionError

from motoko.errors import StudyUnavailable

T = TypeVar("T")

# A ZEO server is back within 2 s; this is for a machine that is very busy.
PATIENCE_S = 30.0
RECONNECT_S = 0.1
# Calls that may be made again when they were cut; not those of a commit.
_REPEATABLE = frozenset({"ping", "new_oids", "history", "loadSerial", "getTid", "lastTransaction"})
# Objects kept in memory: some 20,000 runs, so that a selection repeated reads nothing.
CACHE_OBJECTS = 200_000
PREFETCHED_MAX = 5_000  # records that were asked for and not used


class PatientStorage(ClientStorage):  # type: ignore[misc]  # ZEO has no types
    """A ``ClientStorage`` whose reads wait for a server that is being restarted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._prefetched: dict[tuple[bytes, bytes], Any] = {}  # connecting clears it
        super().__init__(*args, **kwargs)
        self._call = self._call_patiently

    def _call_patiently(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._server.call
        if method not in _REPEATABLE:
            return call(method, *args, **kwargs)
        return patiently(lambda: call(method, *args, **kwargs))

    def prefetch(self, oids: Iterable[bytes], tid: bytes) -> None:
        """Load many records at once: :meth:`loadBefore` then has them at hand.

        ZEO's own does not wait, and each load afterwards is a call of its own to another thread.
        """
        oids, client = tuple(oids), self._server.client

        async def load() -> list[Any]:
            await client.prefetch_co(oids, tid)
            return [client.cache.loadBefore(oid, tid) for oid in oids]

        try:
            found = self._server.io_call(load())
        except ClientDisconnected:
            return  # who needs them waits for the server
        if len(self._prefetched) > PREFETCHED_MAX:
            self._prefetched.clear()
        for oid, record in zip(oids, found, strict=True):
            if record is not None:
                self._prefetched[oid, tid] = record

    def loadBefore(self, oid: bytes, tid: bytes) -> Any:
        if self._prefetched and (record := self._prefetched.pop((oid, tid), None)) is not None:
            return record
        return patiently(lambda: super(PatientStorage, self).loadBefore(oid, tid))

    def notify_connected(self, connection: Any, info: Any) -> None:
        # A server that was killed gives oids that it had promised us to others, too.
        self._oids.clear()
        self._prefetched.clear()  # it may have another file
        super().notify_connected(connection, info)

    def ping(self) -> None:
        """A round trip: afterwards, every invalidation sent before it has arrived."""
        self._call("ping")


def can_be_repeated(error: BaseException) -> bool:
    """Whether a commit that failed so may succeed when its changes are made again."""
    if isinstance(error, ValueError):
        # A killed server forgets which oids it has given away: another's object was stored first.
        return "same oid" in str(error)
    return isinstance(error, (ConflictError, ClientDisconnected, StorageTransactionError))


def patiently(call: Callable[[], T], patience: float = PATIENCE_S) -> T:
    """Call until it is not cut by a disconnection; ``ClientDisconnected`` after ``patience`` s."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return call()
        except ClientDisconnected:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def open_storage(
    address: str | tuple[str, int], blob_dir: Path, *, read_only: bool = False, wait: float = 10.0
) -> PatientStorage:
    """Connect to a ZEO server; raises ``StudyUnavailable`` if it does not answer in ``wait`` s."""
    try:
        storage = PatientStorage(
            address,
            read_only=read_only,
            blob_dir=str(blob_dir),
            shared_blob_dir=True,
            wait_timeout=wait,
            _client_factory=functools.partial(
                ZEO.asyncio.client.ClientThread, disconnect_poll=RECONNECT_S
            ),
        )
    except ClientDisconnected as error:
        raise StudyUnavailable(
            f"the ZEO server at {address} does not answer",
            hint="`motoko ps` shows the state of the workflow's servers",
        ) from error
    return storage


def open_database(storage: PatientStorage) -> ZODB.DB:
    """A database on a storage, with a cache large enough for repeated selections."""
    return ZODB.DB(storage, cache_size=CACHE_OBJECTS)
