"""A connection to a ZEO server, for as long as there is no event loop: see warm_zeo.py, beside it.

What ZEO's own code finds here in place of an event loop, and of its transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

CONNECTED_S = 1.0  # how long connecting may take
SENT_MAX = 64 << 10  # bytes that are sent at once
RECEIVED_MAX = 16 << 10

_futures: Any = sys.modules.get("ZEO.asyncio.futures")


class Unusual(BaseException):
    """ZEO's client shall do it in its own way. (ZEO's code handles each ``Exception``.)"""


class Later:
    """A timer, or a task, of the event loop that there will be."""

    def __init__(self, begin: Callable[[Any], Any]) -> None:
        self._begin = begin
        self._real: Any = None
        self._is_cancelled = False

    def begin(self, loop: Any) -> None:
        if not self._is_cancelled:
            self._real = self._begin(loop)

    def cancel(self, *_: Any) -> None:
        self._is_cancelled = True
        if self._real is not None:
            self._real.cancel()

    def done(self) -> bool:
        return self._is_cancelled if self._real is None else bool(self._real.done())


class Line:
    """The connection to the server: takes the place of an event loop's transport, or passes on."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.protocol: Any = None
        self.transport: Any = None  # of the event loop
        self.is_over = False
        self.error: Exception | None = None
        self._unsent: list[bytes] = []
        self._size = 0
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if self.transport is not None:
            return self.transport.get_extra_info(name, default)
        return self.socket.getpeername() if name == "peername" else default

    def writelines(self, pieces: Any) -> None:
        if self.transport is not None:
            self.transport.writelines(pieces)
        elif not self.is_over:
            self._unsent += pieces
            self._size += sum(map(len, pieces))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
        elif not self.is_over:
            self.end(None)

    def end(self, error: Exception | None) -> None:
        self.is_over, self.error = True, error
        self._unsent.clear()
        self.socket.close()

    @property
    def is_long(self) -> bool:
        return self._size > SENT_MAX

    def send(self) -> bool:
        """Whether all was sent."""
        if self._size and not self.is_over:
            data = b"".join(self._unsent)
            try:
                count = self.socket.send(data)
            except BlockingIOError:
                count = 0
            except OSError as error:
                self.end(error)
                return False
            # Not an empty rest: the transports of Python 3.12 would try for ever to send it.
            self._unsent = [data[count:]] if count < len(data) else []
            self._size = len(data) - count
        return not self._size

    def wait(self, duration_s: float) -> bool:
        """Whether something has come."""
        return bool(self._poll.poll(duration_s * 1000))

    def receive(self) -> None:
        """Handle what has come."""
        while not self.is_over:
            try:
                data = self.socket.recv(RECEIVED_MAX)
            except BlockingIOError:
                return
            except OSError as error:
                self.end(error)
                return
            if not data:
                self.end(None)
                return
            self.protocol.data_received(data)
            if len(data) < RECEIVED_MAX:
                return

    async def join(self, loop: Any) -> None:
        """Belong to an event loop from now on."""
        family = self.socket.family
        create = loop.create_unix_connection if family == socket.AF_UNIX else loop.create_connection
        line = self

        class Joining(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                line.transport = transport
                transport.set_protocol(line.protocol)
                transport.writelines(line._unsent)
                line._unsent = []

        await create(Joining, sock=self.socket)


class Loop:
    """What ZEO's code finds in place of an event loop, before there is one."""

    def __init__(
        self, soon: Callable[..., None], connected: Callable[[int, Any], socket.socket]
    ) -> None:
        self.call_soon_threadsafe = soon
        self._connected = connected
        self.line: Line | None = None
        self.later: list[Later] = []
        self.has_tasks = False

    def create_future(self) -> Any:
        return _futures.Future(loop=self)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Later:
        when = time.monotonic() + delay
        self.later.append(
            Later(lambda loop: loop.call_later(max(0, when - time.monotonic()), callback, *args))
        )
        return self.later[-1]

    def create_task(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self.line is None:
            with contextlib.suppress(StopIteration):
                work.send(None)
            connected = self.create_future()
            connected.set_result(None)
            return connected
        self.has_tasks = True
        self.later.append(Later(lambda loop: loop.create_task(work)))
        return self.later[-1]

    async def create_unix_connection(self, protocol: Any, path: str, ssl: Any = None) -> None:
        self._connect(socket.AF_UNIX, path, protocol())

    async def create_connection(self, protocol: Any, host: str, port: int, **options: Any) -> None:
        (family, *_, address), *others = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if others:
            raise Unusual
        self._connect(family, address, protocol())

    def _connect(self, family: int, address: Any, protocol: Any) -> None:
        self.line = Line(self._connected(family, address))
        self.line.protocol = protocol
        protocol.connection_made(self.line)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        logging.getLogger("asyncio").error(context["message"], exc_info=context.get("exception"))


def connected(family: int, address: Any) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECTED_S)
        connection.connect(address)
        connection.settimeout(0)
        if family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        connection.close()
        raise Unusual from None
    return connection
