"""A relay on this host: from its own Unix socket to that of the ZEO server."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from motoko.channel.relay.acquaintance import ask
from motoko.channel.relay.event_loop import READ, EventLoop
from motoko.channel.relay.known_server import KnownServer
from motoko.channel.relay.patience import PatientSplice
from motoko.channel.relay.peer_marks import peer_of
from motoko.channel.relay.uplink import Connected

BACKLOG = 128
LOOK_S = 2.0  # the socket is checked this often
FULL_S = 0.2  # after this long the next connection is accepted, if there was no descriptor for it
ANSWER_S = 1.0  # the server may take this long to answer; clients have to wait meanwhile


class NearUplink:
    """The way to a socket of this host. See :class:`motoko.channel.relay.uplink.Uplink`."""

    def __init__(self, loop: EventLoop, server: Path) -> None:
        self._loop = loop
        self._server = str(server)

    def connect(self, name: str, call: Connected) -> None:
        try:
            connection = self.connection()
        except OSError:  # the server is away, or accepts no more connections now
            self._loop.later(0.0, lambda: call(None))
        else:
            self._loop.later(0.0, lambda: call(connection))

    def connection(self) -> socket.socket:
        """Connect now. Raises ``OSError``."""
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        try:
            connection.connect(self._server)
        except OSError:
            connection.close()
            raise
        return connection


class LocalRelay:
    """Keeps clients that connect to a socket; a file at the socket's path is replaced.

    Args:
        path: the path of the socket, in a directory that only this account can change.
        server: the ZEO server's socket.
        patience: for how many seconds a client is kept without a server.
        refusal: why a process is not served, by its pid; empty if it is served. The server sees
            only the relay's pid.
        log: gets a line for each client that is cut.
    """

    def __init__(
        self,
        path: Path,
        server: Path,
        patience: float,
        refusal: Callable[[int], str],
        log: Callable[[str], None],
    ) -> None:
        self._loop = EventLoop()
        self._uplink = NearUplink(self._loop, server)
        self._path = path
        self._patience = patience
        self._refusal = refusal
        self._log = log
        self._known = KnownServer()
        self._listener: socket.socket | None = None
        self._is_ours: Callable[[], bool] = lambda: False

    def serve(self) -> None:
        """Serve until the process ends."""
        self._look()
        try:
            self._loop.run()
        finally:
            if self._is_ours():
                self._path.unlink(missing_ok=True)

    def _look(self) -> None:
        """Listen, also anew if the socket's file was removed. Connected clients stay connected.

        Also ask the server what a relay has to know of it, while there is one.
        """
        if not self._is_ours():
            try:
                self._listen()
            except OSError as error:
                self._log(f"nobody is accepted: {error}")
        if not self._known.is_complete:
            with contextlib.suppress(OSError), self._uplink.connection() as server:
                ask(server, self._known, ANSWER_S)
        self._loop.later(LOOK_S, self._look)

    def _listen(self) -> None:
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
        self._listener = listener = socket.socket(socket.AF_UNIX)
        self._path.unlink(missing_ok=True)
        listener.bind(str(self._path))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        own = self._path.stat()
        self._is_ours = lambda: _is_there(self._path, own)
        self._loop.watch(listener.fileno(), READ, lambda events: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._log(f"no connection can be accepted now: {error.strerror}")
            self._loop.change(listener.fileno(), 0)
            self._loop.later(FULL_S, lambda: self._go_on(listener))
            return
        pid = peer_of(client)
        if reason := self._refusal(pid):
            self._log(f"pid {pid} is not served: {reason}")
            client.close()
            return
        name, known = self._path.name, self._known
        PatientSplice(self._loop, client, name, self._uplink, self._patience, known, self._log)

    def _go_on(self, listener: socket.socket) -> None:
        if listener is self._listener:
            self._loop.change(listener.fileno(), READ)


def _is_there(path: Path, own: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), own)
    except OSError:
        return False
