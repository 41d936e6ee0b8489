"""A ZEO client that is told of every commit, and reads exact revisions, many at a time."""

from __future__ import annotations

import functools
import logging
import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ZEO.asyncio.client
from ZEO.ClientStorage import ClientStorage
from ZEO.Exceptions import ClientDisconnected
from ZODB.FileStorage.FileStorage import FileIterator
from ZODB.FileStorage.format import CorruptedError
from ZODB.POSException import POSKeyError
from ZODB.utils import p64, u64

# A server that is frozen (not dead) never answers: the call is given up, and the study opened anew.
CALL_DEADLINE_S = 20.0
CONNECT_DEADLINE_S = 5.0
RECONNECT_S = 0.1
BATCH = 500
# It warns of a database's file that is just being written.
logging.getLogger("ZODB.FileStorage").setLevel(logging.ERROR)
# Pushes that wait to be followed. When there are more, the rest is read from the log afterwards.
QUEUE_MAX = 10_000


@dataclass(frozen=True)
class Pushed:
    """The server has committed a transaction, and has told of it ``at`` (monotonic seconds)."""

    tid: bytes
    oids: Sequence[bytes]
    at: float


@dataclass(frozen=True)
class Connected:
    """The server is there (again): pushes may have been missed."""


@dataclass(frozen=True)
class Disconnected:
    """The server is gone: what it pushes next is not to be trusted before :class:`Connected`."""


Event = Pushed | Connected | Disconnected


class WatchStorage(ClientStorage):  # type: ignore[misc]  # ZEO has no types
    """Read-only. Puts an :data:`Event` into a queue for each push and each (dis)connection.

    The callbacks run on ZEO's networking thread, where a storage call would wait for itself: so
    they only enqueue. No call takes longer than ``CALL_DEADLINE_S``: ``TimeoutError`` then.

    Attributes:
        overflowed: pushes are dropped since the queue is too long; to be set to ``False`` when the
            queue has been emptied, and what was dropped to be read from the log then.
    """

    def __init__(self, address: str | tuple[str, int], events: queue.SimpleQueue[Any]) -> None:
        self.events = events
        self.overflowed = False
        super().__init__(
            address,
            read_only=True,
            cache_size=1 << 20,
            wait_timeout=CONNECT_DEADLINE_S,
            _client_factory=functools.partial(
                ZEO.asyncio.client.ClientThread, disconnect_poll=RECONNECT_S
            ),
        )

        self._call = self._call_in_time

    def invalidateTransaction(self, tid: bytes, oids: Sequence[bytes]) -> None:
        if self.events.qsize() >= QUEUE_MAX:
            self.overflowed = True
        if not self.overflowed:
            self.events.put(Pushed(tid, oids, time.monotonic()))

    def _call_in_time(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = _quiet(self._server.call(method, *args, wait=False, **kwargs))
        return call.result(CALL_DEADLINE_S)

    def notify_connected(self, connection: Any, info: Any) -> None:
        super().notify_connected(connection, info)
        self.events.put(Connected())

    def notify_disconnected(self) -> None:
        super().notify_disconnected()
        self.events.put(Disconnected())

    def at(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record as it was just after ``tid``; ``None`` if it was not there."""
        after = p64(u64(tid) + 1)
        loaded = self._call_many("loadBefore", [(oid, after) for oid in oids])
        return [found and found[0] for found in loaded]

    def written_by(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record exactly as transaction ``tid`` wrote it; ``None`` if that is gone."""
        return self._call_many("loadSerial", [(oid, tid) for oid in oids])

    def witness(self) -> bytes:
        """What tells one database from another: when its root was last written.

        A study that was created anew has the same oids. BlackDynamite writes the root only then.
        """
        newest = p64(u64(self.lastTransaction()) + 1)
        found = self._call_many("loadBefore", [(bytes(8), newest)])[0]
        return bytes(found[1]) if found else b""

    def transactions(self, start: bytes, log: Path | None) -> Iterator[Any]:
        """The committed transactions from tid ``start`` on, with their records, in order.

        Read from the database's own file if it is here (``log``), else through the server. The
        file may end early, beside its writer.
        """
        if log is None or not log.exists():
            yield from self.iterator(start)
            return
        try:
            iterator = FileIterator(str(log), start)
            try:
                yield from iterator
            finally:
                iterator.close()
        except (ValueError, AttributeError, CorruptedError):
            # Met a transaction that is just being written; in a small file ZODB then calls a
            # method that it does not have.
            return

    def _call_many(self, method: str, arguments: Sequence[tuple[bytes, bytes]]) -> list[Any]:
        """Call once for each of ``arguments``, a batch in flight at a time, not one by one."""

        async def call(batch: Sequence[tuple[bytes, bytes]]) -> list[Any]:
            protocol = self._server.client.protocol
            if protocol is None:
                raise ClientDisconnected("no connection to the server")
            answers = [_quiet(protocol.server_call(method, *each)) for each in batch]
            results: list[Any] = []
            for answer in answers:
                try:
                    results.append(await answer)
                except POSKeyError:
                    results.append(None)
            return results

        results: list[Any] = []
        for first in range(0, len(arguments), BATCH):
            batch = arguments[first : first + BATCH]
            future = _quiet(self._server.io_call(call(batch), wait=False))
            results += future.result(CALL_DEADLINE_S)
        return results


def _quiet(future: Any) -> Any:
    """Have ZEO not log how a call has failed that was given up, or that failed with others."""
    future.add_done_callback(lambda ended: ended.exception())
    return future
