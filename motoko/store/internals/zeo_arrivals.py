"""Into ZEO's server: clients of other hosts, whose TCP connections the gate hands over.

TLS and the greeting come first; ZEO's own protocol begins when both are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ZEO.runzeo import ZEOServer

from motoko.channel.greeting import LINE_MAX, WELCOME, BadGreeting, Greeting, read_greeting, refusal
from motoko.channel.handshakes import why_not
from motoko.channel.key_file import UnsafeKey
from motoko.channel.strangers import Strangers
from motoko.channel.tls import Contexts, keep_alive
from motoko.store.internals.self_check import Need, relies_on

_ACCEPTOR = "ZEO.asyncio.server:Acceptor"
_PROTOCOL = "ZEO.asyncio.server:ServerProtocol"
relies_on(
    "ZEO",
    Need("ZEO.runzeo:ZEOServer", "server", set_by="create_server"),
    Need("ZEO.StorageServer:StorageServer", "acceptor", set_by="__init__"),
    Need(_ACCEPTOR, "event_loop", set_by="__init__"),
    Need(_ACCEPTOR, "factory", ("self",)),
    Need(_PROTOCOL, "connection_made", ("self", "transport")),
    Need("ZEO.asyncio.base:ZEOBaseProtocol", "data_received", ("self", "data")),
    Need("ZEO.StorageServer:ZEOStorage", "connection", set_by="notify_connected"),
)

HANDSHAKE_S = 10.0  # for the handshake, and again for the greeting
_HANDED = 1  # byte, beside each descriptor

# Why a client that greets is refused, and whether it is fenced; None if it is served.
Refusal = Callable[[Greeting], "tuple[str, bool] | None"]


def greeting_of(storage: Any) -> Greeting | None:
    """The greeting of a ``ZEOStorage``'s client; ``None`` for a client on this host."""
    greeting: Greeting | None = getattr(storage.connection, "motoko_greeting", None)
    return greeting


class Arrivals:
    """Takes over connections at a Unix socket, in the loop of a ZEO server that was created.

    Args:
        server: the ZEO server.
        path: the Unix socket, in a directory that only this account can enter.
        contexts: the server's side of TLS.
        refusal: asked for each client that greets.
    """

    def __init__(self, server: ZEOServer, path: Path, contexts: Contexts, refusal: Refusal) -> None:
        self._acceptor = server.server.acceptor
        self._loop: asyncio.AbstractEventLoop = self._acceptor.event_loop
        self._path = path
        self._contexts = contexts
        self._refusal = refusal
        self._strangers = Strangers()
        self._listener: socket.socket | None = None
        self._gates: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Listen, unless it does so already; listen again if the socket's file was removed.

        Raises ``OSError`` if it cannot.
        """
        if self._listener is not None and self._path.exists():
            return
        self.close()
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            listener.listen(16)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener, self._gate_connects)

    def close(self) -> None:
        """Take over no more connections; those that were taken over stay."""
        for listening in (*self._gates, *((self._listener,) if self._listener else ())):
            self._loop.remove_reader(listening)
            listening.close()
        self._gates.clear()
        self._listener = None

    def _gate_connects(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(OSError):
            gate, _ = self._listener.accept()
            gate.setblocking(False)
            self._gates.add(gate)
            self._loop.add_reader(gate, self._handed, gate)

    def _handed(self, gate: socket.socket) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(gate, _HANDED, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            connection = socket.socket(fileno=descriptor)
            task = self._loop.create_task(self._take(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not data:
            self._loop.remove_reader(gate)
            self._gates.discard(gate)
            gate.close()

    async def _take(self, connection: socket.socket) -> None:
        address = "?"
        try:
            address = str(connection.getpeername()[0]).partition("%")[0]
            connection.setblocking(False)
            keep_alive(connection)
            context = self._contexts.current()
        except (OSError, UnsafeKey) as error:
            self._strangers.note(address, why_not(error))
            connection.close()
            return
        try:
            await self._loop.connect_accepted_socket(
                lambda: _Arrival(self._acceptor.factory, self._refusal, self._strangers, address),
                connection,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        except OSError as error:  # the connection is closed then
            self._strangers.note(address, why_not(error))


class _Arrival(asyncio.Protocol):
    """Reads the greeting, answers, and leaves the connection to ZEO's protocol."""

    def __init__(
        self, factory: Callable[[], Any], refusal: Refusal, strangers: Strangers, address: str
    ) -> None:
        self._factory = factory
        self._refusal = refusal
        self._strangers = strangers
        self._address = address
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_S, self._end, "it does not greet")

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._data += data
        line, newline, rest = self._data.partition(b"\n")
        if newline:
            self._greeted(line, rest)
        elif len(self._data) > LINE_MAX:
            self._end("it does not greet")

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()

    def _greeted(self, line: bytes, rest: bytes) -> None:
        transport = self._transport
        assert transport is not None
        try:
            greeting = read_greeting(line)
            refused = self._refusal(greeting)
        except (BadGreeting, OSError) as error:  # whether it is fenced cannot be known now
            self._end(why_not(error) if isinstance(error, BadGreeting) else str(error))
            return
        if refused is not None:
            reason, fenced = refused
            transport.write(refusal(reason, fenced=fenced))
            self._end(f"run {greeting.study}.{greeting.run}: {reason}" if fenced else reason)
            return
        self._forget()
        transport.write(WELCOME)
        protocol = self._factory()
        protocol.motoko_greeting = greeting
        # In this order: ZEO's protocol sets up what handles data when it is connected.
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        if rest:
            protocol.data_received(rest)

    def _end(self, reason: str) -> None:
        transport = self._transport
        self._forget()
        self._strangers.note(self._address, reason)
        if transport is not None:
            transport.close()

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = self._deadline = None
