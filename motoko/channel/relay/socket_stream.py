"""A connected socket that never blocks: it hands on what it receives, and buffers what it sends."""

from __future__ import annotations

import socket
import ssl
from typing import Protocol

from motoko.channel.relay.event_loop import READ, WRITE, EventLoop

BLOCK = 1 << 16
# `finish` waits no longer than this for the other side to take the rest.
FINISH_S = 30.0

_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Receiver(Protocol):
    """What a stream tells its events to."""

    def received(self, stream: SocketStream, data: bytes) -> None:
        """Bytes have come."""

    def drained(self, stream: SocketStream) -> None:
        """All that was buffered has been sent: there is room for more."""

    def ended(self, stream: SocketStream, reason: str) -> None:
        """The other side has closed the stream, or it was lost.

        Called once, and not after ``close``.
        """


class SocketStream:
    """One connected socket, plain or TLS, which it owns from now on.

    The stream is paused at first: see :meth:`resume`.

    Args:
        loop: the event loop that calls it.
        connection: the connected socket.
        receiver: is told the events of the stream.
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
        """How many bytes are buffered, because they could not be sent yet."""
        return len(self._out)

    @property
    def is_closed(self) -> bool:
        """Whether the stream has ended, or was closed."""
        return self._socket.fileno() < 0

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of the data, as soon as possible; nothing if the stream has ended."""
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
        """Close the stream when all data has been sent. The receiver is told nothing more."""
        if self.is_closed or self._is_ending:
            return
        self._is_ending = True
        if not self._out:
            self.close()
            return
        self.pause()
        self._loop.later(FINISH_S, self.close)

    def close(self) -> None:
        """Close the stream now. May be called again."""
        if not self.is_closed:
            self._loop.forget(self._socket.fileno())
            self._socket.close()

    def _want(self, events: int) -> None:
        before, self._events = self._events, events
        if events == before or self.is_closed:
            return
        descriptor = self._socket.fileno()
        if not events:
            # Otherwise epoll would report the end again and again while the stream is paused.
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
            # epoll does not report data that TLS has already read: take it even while paused.
            if self._tls is None or self.is_closed or not self._tls.pending():
                return

    def _end(self, reason: str) -> None:
        was_ending = self._is_ending
        self.close()
        if not was_ending:
            self._receiver.ended(self, reason)


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
