"""Into ZEO's client: its calls, its networking thread, its cache."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import ZEO.asyncio.client
import ZEO.asyncio.futures
from ZEO.ClientStorage import ClientStorage
from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import POSKeyError

from motoko.channel.tls import keep_alive
from motoko.errors import StudyUnavailable
from motoko.store.internals import zeo_messages, zeo_transactions
from motoko.store.internals.self_check import Need, relies_on
from motoko.store.internals.threadless_client import ThreadlessClient
from motoko.store.internals.zeo_cache import MemoryCache
from motoko.store.internals.zeo_short_commits import METHOD, ShortCommit, Tell
from motoko.store.internals.zeo_written import KEY, WANTS_RECORDS

_STORAGE = "ZEO.ClientStorage:ClientStorage"
_RUNNER = "ZEO.asyncio.client:ClientRunner"
_IO = "ZEO.asyncio.client:ClientIO"
relies_on(
    "ZEO",
    Need(_STORAGE, "_call", set_by="__init__"),
    Need(_STORAGE, "_async", set_by="__init__"),
    Need(_STORAGE, "_server", set_by="__init__"),
    Need(_STORAGE, "_oids", set_by="__init__"),
    Need(_STORAGE, "notify_connected", ("self", "conn", "info")),
    Need(_STORAGE, "notify_disconnected", ("self",)),
    Need(_STORAGE, "invalidateTransaction", ("self", "tid", "oids")),
    Need(_STORAGE, "info", ("self", "dict")),
    Need(_STORAGE, "loadBefore", ("self", "oid", "tid")),
    Need("ZEO.asyncio.client:ClientThread", "thread", set_by="__init__"),
    Need(_RUNNER, "call", ("self", "method")),
    Need(_RUNNER, "client", set_by="setup_delegation"),
    Need(_RUNNER, "loop", set_by="setup_delegation"),
    Need(_RUNNER, "io_call", set_by="setup_delegation"),
    Need("ZEO.asyncio.futures", "switch_thread", ()),
    Need(_IO, "protocol"),
    Need("ZEO.asyncio.base:ZEOBaseProtocol", "sm_protocol", set_by="connection_made"),
    Need(_IO, "operational"),
    Need(_IO, "call_async", ("self", "method", "args")),
    Need("ZEO.asyncio.client:Protocol", "server_call", ("self", "method")),
)

AT_ONCE = 500  # calls that are in flight together
CACHE_BYTES = 8 << 20


class ServerClient(ClientStorage):  # type: ignore[misc]  # ZEO has no types
    """A ``ClientStorage`` whose calls can be seen, bundled, and given up.

    Args:
        address: a socket's path, or a TCP host and port.
        reconnect_s: how often to try to connect, in seconds.
        threadless: whether the calling thread does the networking itself, until another thread uses
            this; see :meth:`join`.
        wants_records: whether the server sends the records that others have written, when it
            announces a transaction; see :meth:`take_written`.
        cache_bytes: of records that are remembered.
        options: further options of ``ClientStorage``.
    """

    def __init__(
        self,
        address: str | tuple[str, int],
        reconnect_s: float,
        *,
        threadless: bool = False,
        wants_records: bool = False,
        cache_bytes: int = CACHE_BYTES,
        **options: Any,
    ) -> None:
        zeo_messages.install()
        zeo_transactions.install()
        self.known_records = MemoryCache(cache_bytes)
        if wants_records:
            options["client_label"] = WANTS_RECORDS
        # With each answer, ZEO's thread sleeps for a moment, to let the waiting thread go on. That
        # one goes on anyway, when ZEO's thread waits for the next message: without the sleep, a
        # call takes two thirds of the CPU time, and less time.
        ZEO.asyncio.futures.switch_thread = lambda: None
        self._is_threadless = threadless
        self._tell: Tell | None = None
        self._commit: ShortCommit | None = None
        kind = ThreadlessClient if threadless else ZEO.asyncio.client.ClientThread
        client = functools.partial(kind, disconnect_poll=reconnect_s)
        super().__init__(address, cache=self.known_records, _client_factory=client, **options)
        self._call = self.call_server
        if not threadless:
            self._async = _Outbox(self._server).send
        self._owner = os.getpid()
        self._server.io_call = self._in_its_process(self._server.io_call)

    def _in_its_process(self, io_call: Callable[..., Any]) -> Callable[..., Any]:
        """A guard for all calls: a forked child lacks the thread that would answer them."""

        def called(call: Coroutine[Any, Any, Any], wait: bool = True) -> Any:
            if self._is_copy:
                call.close()
                raise StudyUnavailable(
                    f"the connection to the ZEO server is that of process {self._owner}",
                    hint="a forked child has to make a Workflow of its own",
                )
            return io_call(call, wait)

        return called

    def join(self, loop: asyncio.AbstractEventLoop) -> None:
        """Receive the server's messages between calls: in the loop of this thread, from now on."""
        if self._is_threadless:
            self._server.join(loop)

    def lastTransaction(self) -> bytes:
        """The newest transaction that the server has announced; no round trip."""
        if self._is_threadless:
            self._server.catch_up()
        tid: bytes = super().lastTransaction()
        return tid

    @property
    def _is_copy(self) -> bool:
        """Whether this process is a forked child of the process that connected."""
        return os.getpid() != self._owner

    def close(self) -> None:
        """Disconnect. A forked child's copy is left as it is: its parent still uses it."""
        if not self._is_copy:
            super().close()

    def notify_connected(self, conn: Any, info: Any) -> None:
        """ZEO has connected: over TCP, have the kernel check that the server's host is alive."""
        self._info.pop(METHOD, None)  # this may be another server
        super().notify_connected(conn, info)
        connection = conn.protocol.sm_protocol.transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            keep_alive(connection)

    def info(self, values: dict[str, Any]) -> None:
        """The server has told something of itself, or sent records."""
        written = values.pop(KEY, None)
        if written is not None:
            self.take_written(*written)
        if values:
            super().info(values)

    def take_written(self, tid: bytes, records: dict[bytes, bytes]) -> None:
        """The server has sent what a transaction has written, just before it announces that.

        They may be all of its records, some, or, with no call of this method, none. Called on the
        thread that receives the server's messages.
        """

    def call_server(self, method: str, *args: Any, **options: Any) -> Any:
        """Call the server; once the storage is open, all calls that wait for answers come here."""
        if method == "vote" and self._commit is not None:
            return self._server.io_call(self._commit.vote(self._server.client, *args))
        return self._server.call(method, *args, **options)

    def finish_with_vote(self, tell: Tell) -> None:
        """Have the transaction that is voted for next finished together with the vote, if possible.

        ``tell`` is called with its tid on the thread that receives the server's messages.
        """
        self._tell = tell

    def tpc_vote(self, txn: Any) -> Any:
        tell, self._tell = self._tell, None
        buffer = self._check_trans(txn, "tpc_vote")
        if tell is not None and self._info.get(METHOD) and not buffer.blobs:
            self._commit = ShortCommit(buffer, tell)
        return super().tpc_vote(txn)

    def tpc_finish(self, txn: Any, f: Tell = lambda tid: None) -> bytes:
        if self._commit is not None and (tid := self._commit.tid) is not None:
            self.tpc_end(txn)
            self._iterator_gc()
            return tid
        finished: bytes = super().tpc_finish(txn, f)
        return finished

    def tpc_end(self, txn: Any) -> None:
        self._commit = None
        super().tpc_end(txn)

    def call_in_time(self, deadline_s: float, method: str, *args: Any, **options: Any) -> Any:
        """Call, and wait no longer than ``deadline_s``; ``TimeoutError`` then."""
        return _quiet(self._server.call(method, *args, wait=False, **options)).result(deadline_s)

    def call_many(
        self, deadline_s: float, method: str, arguments: Sequence[tuple[bytes, bytes]]
    ) -> list[Any]:
        """Call once for each of ``arguments``, many in flight at a time, not one by one.

        A key that is not there gives ``None``. Raises ``TimeoutError`` if one batch takes longer
        than the deadline, ``ClientDisconnected`` if there is no connection.
        """

        async def call(batch: Sequence[tuple[bytes, bytes]]) -> list[Any]:
            protocol = self._server.client.protocol
            if protocol is None:
                raise ClientDisconnected("no connection to the server")
            with zeo_messages.together(protocol):
                answers = [_quiet(protocol.server_call(method, *arguments)) for arguments in batch]
            return [await _loaded(answer) for answer in answers]

        results: list[Any] = []
        for first in range(0, len(arguments), AT_ONCE):
            batch = arguments[first : first + AT_ONCE]
            future = _quiet(self._server.io_call(call(batch), wait=False))
            results += future.result(deadline_s)
        return results

    def load_together(self, oids: Iterable[bytes], tid: bytes) -> list[Any]:
        """The answers of ``loadBefore``, loaded in one round trip; ``None`` if one was not loaded.

        Raises ``ClientDisconnected`` if there is no connection.
        """
        wanted, client = tuple(oids), self._server.client

        async def load() -> list[Any]:
            if not client.operational:
                raise ClientDisconnected("no connection to the server")
            call = client.protocol.server_call
            with zeo_messages.together(client.protocol):
                answers = [_quiet(call("loadBefore", oid, tid)) for oid in wanted]
            return [await _loaded(answer) for answer in answers]

        loaded: list[Any] = self._server.io_call(load())
        return loaded

    def forget_promised_oids(self) -> None:
        """Do not use the oids that a server has set aside for this client."""
        self._oids.clear()

    @property
    def hears(self) -> bool:
        """Whether the thread that receives the server's messages is alive."""
        alive: bool = self._server.thread.is_alive()
        return alive


class _Outbox:
    """Messages without answers on their way to ZEO's thread, which is woken once for several.

    ZEO itself wakes it for each object that is stored: that takes longer than the rest.

    Args:
        server: ZEO's client.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._messages: deque[tuple[str, tuple[Any, ...]]] = deque()

    def send(self, method: str, *args: Any) -> None:
        """Send a message; calls that are made later come later."""
        if not self._server.client.operational:
            raise ClientDisconnected("no connection to the server")
        self._messages.append((method, args))
        if len(self._messages) == 1:  # else the thread has been woken, and has not come this far
            self._server.loop.call_soon_threadsafe(self._pass_on)

    def _pass_on(self) -> None:
        try:
            with zeo_messages.together(self._server.client.protocol):
                while self._messages:
                    self._server.client.call_async(*self._messages.popleft())
        except BaseException:
            self._messages.clear()  # the connection is lost, and the transaction with it
            raise


async def _loaded(answer: Any) -> Any:
    """What the server has answered; ``None`` if it does not have it."""
    try:
        return await answer
    except POSKeyError:
        return None


def _quiet(future: Any) -> Any:
    """Keep ZEO from logging how a call failed that was given up, or that failed with others."""
    future.add_done_callback(lambda ended: ended.exception())
    return future
