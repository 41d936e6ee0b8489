"""A ZEO client that outlives its server's death."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ZODB
from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import ConflictError, StorageTransactionError

from motoko.errors import StudyUnavailable
from motoko.host.pauses import Pauses
from motoko.store.internals import self_check
from motoko.store.internals.zeo_clients import CACHE_BYTES, ServerClient
from motoko.store.value_limits import SIZE_MAX

T = TypeVar("T")

# A ZEO server is back within 2 s; this allows for a machine that is very busy.
PATIENCE_S = 30.0
RECONNECT_S = 0.1
# Between attempts to commit: the first pause, and the longest.
PAUSE_S, PAUSE_MAX_S = 0.005, 1.0
# Calls that may be repeated after a disconnection; those of a commit may not.
_REPEATABLE = frozenset({"ping", "new_oids", "history", "loadSerial", "getTid", "lastTransaction"})
# Objects kept in memory: some 20,000 runs, so that a repeated selection reads nothing.
CACHE_OBJECTS = 200_000
PREFETCHED_MAX = 5_000  # records that were prefetched and not used yet


class PatientStorage(ServerClient):
    """A ``ClientStorage`` whose reads wait for a server that is being restarted.

    Attributes:
        announce: called, on the thread that receives the server's messages, with each transaction
            that others have committed, and the records that it has written.
    """

    announce: Callable[[bytes, Sequence[bytes]], None] | None = None

    def __init__(self, address: str | tuple[str, int], **options: Any) -> None:
        self._prefetched: dict[tuple[bytes, bytes], Any] = {}  # connecting clears it
        super().__init__(address, RECONNECT_S, wants_records=True, **options)

    def call_server(self, method: str, *args: Any, **options: Any) -> Any:
        call = super().call_server
        if method not in _REPEATABLE:
            return call(method, *args, **options)
        return patiently(lambda: call(method, *args, **options))

    def prefetch(self, oids: Iterable[bytes], tid: bytes) -> None:
        """Load many records at once: :meth:`loadBefore` then has them at hand.

        ZEO's own prefetch does not wait, and each later load is a call to another thread.
        """
        known = self.known_records.loadBefore
        oids = tuple(oid for oid in oids if known(oid, tid) is None)
        if not oids:
            return
        try:
            records = self.load_together(oids, tid)
        except ClientDisconnected:
            return  # the load that needs a record waits for the server
        if len(self._prefetched) > PREFETCHED_MAX:
            self._prefetched.clear()
        for oid, record in zip(oids, records, strict=True):
            if record is not None:
                self._prefetched[oid, tid] = record

    def loadBefore(self, oid: bytes, tid: bytes) -> Any:
        if self._prefetched and (record := self._prefetched.pop((oid, tid), None)) is not None:
            return record
        if (record := self.known_records.loadBefore(oid, tid)) is not None:
            return record
        return patiently(lambda: super(PatientStorage, self).loadBefore(oid, tid))

    def take_written(self, tid: bytes, records: dict[bytes, bytes]) -> None:
        for oid, data in records.items():
            self.known_records.store(oid, tid, None, data)

    def invalidateTransaction(self, tid: bytes, oids: Sequence[bytes]) -> None:
        super().invalidateTransaction(tid, oids)
        if self.announce is not None:
            self.announce(tid, oids)

    def notify_connected(self, connection: Any, info: Any) -> None:
        # A server that was killed gives other clients the oids that it had promised this one.
        self.forget_promised_oids()
        self._prefetched.clear()  # the server may have another file
        self.known_records.forget()
        super().notify_connected(connection, info)

    def ping(self) -> None:
        """A round trip: afterwards, all invalidations that were sent before it have arrived."""
        self.call_server("ping")


def can_be_repeated(error: BaseException) -> bool:
    """Whether a commit that failed with this error may succeed if its changes are made again."""
    if isinstance(error, ValueError):
        # A killed server forgets which oids it has given away: another client used this one first.
        return "same oid" in str(error)
    return isinstance(error, (ConflictError, ClientDisconnected, StorageTransactionError))


def patiently(call: Callable[[], T], patience: float = PATIENCE_S) -> T:
    """Repeat a call that a disconnection cuts; ``ClientDisconnected`` after ``patience`` s."""
    deadline = time.monotonic() + patience
    pauses = Pauses(PAUSE_S, RECONNECT_S)
    while True:
        try:
            return call()
        except ClientDisconnected:
            if time.monotonic() > deadline:
                raise
            time.sleep(pauses.next())


def open_storage(
    address: str | tuple[str, int],
    blob_dir: Path,
    *,
    read_only: bool = False,
    wait: float = 10.0,
    threadless: bool = False,
    cache_bytes: int = CACHE_BYTES,
) -> PatientStorage:
    """Connect to a ZEO server; ``StudyUnavailable`` if it does not answer within ``wait`` s.

    ``threadless``: the calling thread does all of the networking; see ``ServerClient``.
    ``cache_bytes``: of records that are remembered.
    """
    self_check.check()
    try:
        storage = PatientStorage(
            address,
            read_only=read_only,
            blob_dir=str(blob_dir),
            shared_blob_dir=True,
            wait_timeout=wait,
            threadless=threadless,
            cache_bytes=cache_bytes,
        )
    except ClientDisconnected as error:
        raise StudyUnavailable(
            f"the ZEO server at {address} does not answer",
            hint="`motoko ps` shows the state of the workflow's servers",
        ) from error
    return storage


def open_database(storage: PatientStorage, cache_objects: int = CACHE_OBJECTS) -> ZODB.DB:
    """A database on a storage; by default with a cache that suits repeated selections."""
    # ZODB warns of large records; Motoko's server splits or refuses them.
    return ZODB.DB(storage, cache_size=cache_objects, large_record_size=2 * SIZE_MAX)
