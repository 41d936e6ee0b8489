"""A ZEO client that is told of every commit, and reads exact revisions, many at a time."""

from __future__ import annotations

import functools
import logging
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ZEO.Exceptions import ClientDisconnected, ClientStorageError
from ZODB.FileStorage.FileStorage import FileIterator
from ZODB.FileStorage.format import CorruptedError
from ZODB.utils import p64, u64

from motoko.store.internals import self_check
from motoko.store.internals.zeo_clients import ServerClient

# Raised by a call if there is no server, or if the server refuses.
CONNECTION_ERRORS = (ClientDisconnected, ClientStorageError)
# A server that is frozen (not dead) never answers: the call is given up, and the study opened anew.
CALL_DEADLINE_S = 20.0
CONNECT_DEADLINE_S = 5.0
RECONNECT_S = 0.1
# ZODB warns of a database's file that is being written.
logging.getLogger("ZODB.FileStorage").setLevel(logging.ERROR)
# Pushes that wait to be handled. If there are more, the rest is read from the log afterwards.
QUEUE_MAX = 10_000
QUEUED_BYTES = 64 << 20  # of their records, roughly; beyond that, records have to be loaded


@dataclass(frozen=True)
class Pushed:
    """The server has committed a transaction, which it announced ``at`` (monotonic seconds).

    Attributes:
        records: what the transaction has written, by oid; ``None`` if it has to be loaded.
    """

    tid: bytes
    oids: Sequence[bytes]
    at: float
    records: Mapping[bytes, bytes] | None = None


@dataclass(frozen=True)
class Connected:
    """The server is there (again): pushes may have been missed."""


@dataclass(frozen=True)
class Disconnected:
    """The server is gone: pushes must not be trusted before the next :class:`Connected`."""


@dataclass(frozen=True)
class Failed:
    """A push of the server could not be queued: no event can be trusted any more."""

    error: Exception


Event = Pushed | Connected | Disconnected | Failed


def _handed_over(callback: Callable[..., None]) -> Callable[..., None]:
    """A callback of ZEO's networking thread, whose errors go to the reader of the events."""

    @functools.wraps(callback)
    def called(self: WatchStorage, *args: Any) -> None:
        try:
            callback(self, *args)
        except Exception as error:
            self.events.put(Failed(error))
            raise

    return called


class WatchStorage(ServerClient):
    """Read-only. Puts an :data:`Event` into a queue for each push and each (dis)connection.

    The callbacks run on ZEO's networking thread, where a storage call would wait for itself. So
    they only enqueue. A call that takes longer than ``CALL_DEADLINE_S`` raises ``TimeoutError``.

    Args:
        address: where the server is.
        events: the queue.
        wants_records: whether pushes come with what was written, as far as possible.

    Attributes:
        overflowed: pushes are dropped because the queue is too long. The reader must empty the
            queue, set this to ``False``, and read what was dropped from the log.
    """

    def __init__(
        self,
        address: str | tuple[str, int],
        events: queue.SimpleQueue[Any],
        *,
        wants_records: bool = False,
    ) -> None:
        self.events = events
        self._written: tuple[bytes, dict[bytes, bytes]] = b"", {}
        self.overflowed = False
        self_check.check()
        super().__init__(
            address,
            RECONNECT_S,
            read_only=True,
            wants_records=wants_records,
            wait_timeout=CONNECT_DEADLINE_S,
        )

    @_handed_over
    def invalidateTransaction(self, tid: bytes, oids: Sequence[bytes]) -> None:
        if self.events.qsize() >= QUEUE_MAX:
            self.overflowed = True
        if not self.overflowed:
            self.events.put(Pushed(tid, oids, time.monotonic(), self._records(tid, oids)))

    def take_written(self, tid: bytes, records: dict[bytes, bytes]) -> None:
        self._written = tid, records

    def _records(self, tid: bytes, oids: Sequence[bytes]) -> Mapping[bytes, bytes] | None:
        """What a transaction has written, if the server has sent it, and there is room for it."""
        (sent_by, records), self._written = self._written, (b"", {})
        size = sum(map(len, records.values()))
        is_whole = sent_by == tid and records.keys() >= set(oids)
        return records if is_whole and size * self.events.qsize() <= QUEUED_BYTES else None

    def call_server(self, method: str, *args: Any, **options: Any) -> Any:
        return self.call_in_time(CALL_DEADLINE_S, method, *args, **options)

    @_handed_over
    def notify_connected(self, connection: Any, info: Any) -> None:
        super().notify_connected(connection, info)
        self.events.put(Connected())

    @_handed_over
    def notify_disconnected(self) -> None:
        super().notify_disconnected()
        self.events.put(Disconnected())

    def at(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record as it was just after ``tid``; ``None`` if it was not there."""
        after = p64(u64(tid) + 1)
        loaded = self.call_many(CALL_DEADLINE_S, "loadBefore", [(oid, after) for oid in oids])
        return [record and record[0] for record in loaded]

    def written_by(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record exactly as transaction ``tid`` wrote it; ``None`` if that is gone."""
        return self.call_many(CALL_DEADLINE_S, "loadSerial", [(oid, tid) for oid in oids])

    def witness(self) -> bytes:
        """What tells one database from another: when its root was last written.

        A study that is created anew has the same oids. BlackDynamite writes the root only then.
        """
        newest = p64(u64(self.lastTransaction()) + 1)
        (root,) = self.call_many(CALL_DEADLINE_S, "loadBefore", [(bytes(8), newest)])
        return bytes(root[1]) if root else b""

    def transactions(self, start: bytes, log: Path | None) -> Iterator[Any]:
        """The committed transactions from tid ``start`` on, with their records, in order.

        They are read from the database's own file (``log``) if it is here, else from the server.
        The file may seem to end early, while it is being written, or where it cannot be read.
        """
        if log is None or not _is_here(log):
            yield from self.iterator(start)
            return
        try:
            iterator = FileIterator(str(log), start)
            try:
                yield from iterator
            finally:
                iterator.close()
        except (ValueError, AttributeError, CorruptedError):
            # Met a transaction that is being written; in a small file ZODB then calls a method
            # that it does not have.
            return
        except OSError as error:
            logging.getLogger(__name__).warning("%s cannot be read: %s", log, error)


def _is_here(log: Path) -> bool:
    try:
        return log.exists()
    except OSError:
        return False
