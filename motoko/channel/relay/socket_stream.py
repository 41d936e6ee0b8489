"""A connected socket that never blocks: what comes is handed on, what is sent waits for its way."""

from __future__ import annotations

import socket
import ssl
from typing import Protocol

from motoko.channel.relay.event_loop import READ, WRITE, EventLoop

BLOCK = 1 << 16
# Its end is not waited for longer, when there is more to be sent than the other side takes.
FINISH_S = 30.0

_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Receiver(Protocol):
    """Whom a stream tells what becomes of it."""

    def received(self, stream: SocketStream, data: bytes) -> None:
        """Something has come."""

    def drained(self, stream: SocketStream) -> None:
        """All that was sent is on its way: there is room for more."""

    def ended(self, stream: SocketStream, reason: str) -> None:
        """The other side has ended it, or it was lost. Called once, and not after ``close``."""


class SocketStream:
    """One connected socket, plain or TLS, which it owns from now on.

    It is paused at first: see :meth:`resume`.

    Args:
        loop: what calls it.
        connection: the socket, connected.
        receiver: whom it tells.
    """

    __slots__ = ("_events", "_is_ending", "_loop", "_out", "_receiver", "_socket", "_tls")

    def __init__(self, loop: EventLoop, connection: socket.socket, receiver: Receiver) -> None:
        connection.setblocking(False)
        self._loop = loop
        self._socket = connection
        self._tls = connection if isinstance(connection, ssl.SSLSocket) else None
        self._receiver = receiver
        self._out = bytearray()
        self._events = 0
        self._is_ending = False

    @property
    def waiting(self) -> int:
        """How many bytes could not be sent yet."""
        return len(self._out)

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, or was closed."""
        return self._socket.fileno() < 0

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it, as soon as that can be. Nothing, if it has ended."""
        if self.is_closed or self._is_ending:
            return
        if not self._out:
            try:
                count = self._socket.send(data)
            except _LATER:
                count = 0
            except OSError as error:
                self._end(_words(error))
                return
            if count == len(data):
                return
            data = data[count:]
        self._out += data
        self._want(self._events | WRITE)

    def pause(self) -> None:
        """Receive nothing, so that the other side has to wait."""
        self._want(self._events & ~READ)

    def resume(self) -> None:
        """Receive, from now on."""
        if not self._is_ending:
            self._want(self._events | READ)

    def finish(self) -> None:
        """Close it when all that was sent is on its way. The receiver hears no more of it."""
        if self.is_closed or self._is_ending:
            return
        self._is_ending = True
        if not self._out:
            self.close()
            return
        self.pause()
        self._loop.later(FINISH_S, self.close)

    def close(self) -> None:
        """Close it now. May be called again."""
        if not self.is_closed:
            self._loop.forget(self._socket.fileno())
            self._socket.close()

    def _want(self, events: int) -> None:
        before, self._events = self._events, events
        if events == before or self.is_closed:
            return
        descriptor = self._socket.fileno()
        if not events:
            # Else its end would be told again and again, before what came before it is wanted.
            self._loop.forget(descriptor)
        elif not before:
            self._loop.watch(descriptor, events, self._ready)
        else:
            self._loop.change(descriptor, events)

    def _ready(self, events: int) -> None:
        if self._out and events & ~READ:
            self._flush()
        if self._events & READ and events & ~WRITE and not self.is_closed:
            self._receive()

    def _flush(self) -> None:
        try:
            while self._out:
                count = self._socket.send(self._out)
                del self._out[:count]
        except _LATER:
            return
        except OSError as error:
            self._end(_words(error))
            return
        self._want(self._events & ~WRITE)
        if self._is_ending:
            self.close()
        else:
            self._receiver.drained(self)

    def _receive(self) -> None:
        while True:
            try:
                data = self._socket.recv(BLOCK)
            except _LATER:
                return
            except OSError as error:
                self._end(_words(error))
                return
            if not data:
                self._end("it was closed")
                return
            self._receiver.received(self, data)
            # What TLS has taken out of the kernel already, nobody would tell of: paused or not.
            if self._tls is None or self.is_closed or not self._tls.pending():
                return

    def _end(self, reason: str) -> None:
        was_ending = self._is_ending
        self.close()
        if not was_ending:
            self._receiver.ended(self, reason)


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
