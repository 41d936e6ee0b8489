"""A session that hands on bytes both ways, until either side ends."""

from __future__ import annotations

import socket
from typing import Protocol

from motoko.channel.relay.event_loop import EventLoop
from motoko.channel.relay.socket_stream import SocketStream
from motoko.channel.relay.uplink import Uplink

# If a side does not take this many bytes, the other side has to wait.
HELD_MAX = 1 << 20


class Session(Protocol):
    """A client's connection, from its acceptance to its end.

    It is made with the loop, the client's socket, the name of the socket that the client has
    connected to, and the way to the servers. It owns the client's socket.
    """

    def close(self) -> None:
        """Close both sides now. May be called again."""


class Splice:
    """See :class:`Session`. Both sides end together; what was sent before still arrives."""

    def __init__(self, loop: EventLoop, client: socket.socket, name: str, uplink: Uplink) -> None:
        self._loop = loop
        self._client = SocketStream(loop, client, self)
        self._server: SocketStream | None = None
        uplink.connect(name, self._connected)

    def close(self) -> None:
        self._client.close()
        if self._server is not None:
            self._server.close()

    def _connected(self, server: socket.socket | None) -> None:
        if server is None:
            self._client.close()
            return
        if self._client.is_closed:
            server.close()
            return
        self._server = SocketStream(self._loop, server, self)
        self._server.resume()
        self._client.resume()

    def received(self, stream: SocketStream, data: bytes) -> None:
        other = self._other(stream)
        other.send(data)
        if other.waiting > HELD_MAX:
            stream.pause()

    def drained(self, stream: SocketStream) -> None:
        self._other(stream).resume()

    def ended(self, stream: SocketStream, reason: str) -> None:
        self._other(stream).finish()

    def _other(self, stream: SocketStream) -> SocketStream:
        assert self._server is not None  # before that, no side is read
        return self._client if stream is self._server else self._server
