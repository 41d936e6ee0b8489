"""A session whose client is kept while its server is away."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from motoko.channel.relay.event_loop import EventLoop, Timer
from motoko.channel.relay.known_server import KnownServer
from motoko.channel.relay.patient_session import PatientSession
from motoko.channel.relay.socket_stream import SocketStream
from motoko.channel.relay.splice import HELD_MAX
from motoko.channel.relay.uplink import Uplink

# A server that is away, or is lost again soon, is tried again after growing pauses.
SOON_S = 1.0
AGAIN_S = 0.05
AGAIN_MAX_S = 2.0
# BlackDynamite gives a server five seconds to answer a new client; the relay checks this often
# whether it has.
BEGIN_S = 1.2
BEGIN_TIMES = 3


class PatientSplice:
    """A session with a ZEO server; see :class:`motoko.channel.relay.splice.Session`.

    Args:
        loop: the event loop that calls it.
        client: the client's socket.
        name: the name of the socket that the client has connected to.
        uplink: the way to the server.
        patience: for how many seconds the client is kept without a server.
        known: what is known of the server.
        log: gets a line when the client is cut.
    """

    def __init__(
        self,
        loop: EventLoop,
        client: socket.socket,
        name: str,
        uplink: Uplink,
        patience: float,
        known: KnownServer,
        log: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._name = name
        self._uplink = uplink
        self._patience = patience
        self._log = log
        self._session = PatientSession(known)
        self._client = SocketStream(loop, client, self)
        self._server: SocketStream | None = None
        self._since = 0.0  # when the last server was connected
        self._pause = 0.0
        self._limit: Timer | None = None
        self._client.resume()
        self._look()
        self._loop.later(BEGIN_S, lambda: self._hurry(BEGIN_TIMES))

    def close(self) -> None:
        self._client.close()
        if self._server is not None:
            self._server.close()
        if self._limit is not None:
            self._limit.cancel()

    def received(self, stream: SocketStream, data: bytes) -> None:
        if stream is self._client:
            self._session.from_client(data)
        elif stream is self._server:
            self._session.from_server(data)
            if self._limit is not None and self._session.is_live:
                self._limit.cancel()
                self._limit = None
        self._hand_on()
        if stream is self._client:
            if self._server is not None and self._server.waiting > HELD_MAX:
                stream.pause()
        elif self._client.waiting > HELD_MAX:
            stream.pause()

    def drained(self, stream: SocketStream) -> None:
        if stream is self._client:
            if self._server is not None:
                self._server.resume()
        else:
            self._client.resume()

    def ended(self, stream: SocketStream, reason: str) -> None:
        if stream is self._client:
            self.close()
        elif stream is self._server:
            self._lost()

    def _lost(self) -> None:
        self._server = None
        self._session.lost()
        self._client.resume()
        if not self._session.end:
            if time.monotonic() - self._since > SOON_S:
                self._pause = 0.0
            self._session.recall()
            self._look()
        self._hand_on()

    def _hurry(self, times: int) -> None:
        """Answer a new client in the server's place, if no server has answered it."""
        if self._client.is_closed or self._session.end or not times:
            return
        if self._session.is_kept_waiting:
            if self._server is not None and self._session.is_live:
                self._server.close()
                self._lost()
            self._session.recall()
            self._hand_on()
        self._loop.later(BEGIN_S, lambda: self._hurry(times - 1))

    def _look(self) -> None:
        """Look for a server, because there is none."""
        if self._limit is None:
            self._limit = self._loop.later(self._patience, self._give_up)
        self._loop.later(self._pause, self._try)
        self._pause = min(max(self._pause * 1.5, AGAIN_S), AGAIN_MAX_S)

    def _try(self) -> None:
        if not self._client.is_closed:
            self._uplink.connect(self._name, self._connected)

    def _connected(self, connection: socket.socket | None) -> None:
        if self._client.is_closed:
            if connection is not None:
                connection.close()
        elif connection is None:
            self._session.recall()
            self._hand_on()
            self._look()
        else:
            self._since = time.monotonic()
            self._server = SocketStream(self._loop, connection, self)
            self._session.connected()
            self._server.resume()

    def _give_up(self) -> None:
        self._session.end = self._session.end or f"there was no server for {self._patience:g} s"
        self._hand_on()

    def _hand_on(self) -> None:
        session = self._session
        if session.to_server and self._server is not None:
            self._server.send(session.to_server)
            session.to_server.clear()
        if session.to_client:
            self._client.send(session.to_client)
            session.to_client.clear()
        if session.end:
            if not self._client.is_closed:
                self._log(f"{self._name}: a client is cut: {session.end}")
            if self._limit is not None:
                self._limit.cancel()
            self._client.finish()
            if self._server is not None:
                self._server.close()
