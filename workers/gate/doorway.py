"""Accepting connections, and finding out which server they ask for before anything is answered.

Nothing is read: what a client has sent stays in the socket, for the server. A client that sends
nothing, or something else, is turned away. A flood of strangers costs the clients that have a key
only the time that it takes to turn the strangers away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from motoko.channel.client_hello import LONGEST, NoHello, server_name
from motoko.channel.strangers import Strangers

log = logging.getLogger(__name__)

HELLO_S = 10.0  # a client has this long to say which server it wants
PENDING_MAX = 512
PENDING_OF_ADDRESS = 128
_AT_ONCE = 64
_FULL_S = 1.0  # if no descriptor is left, no connection is accepted for this long

NO_TLS = "it does not speak TLS, or names no server"
SILENT = "it says nothing"
PUSHED_OUT = "too many wait at once"


@dataclass(eq=False)
class _Client:
    """A client that has not said yet which server it wants."""

    connection: socket.socket
    address: str
    deadline: asyncio.TimerHandle | None = None
    seen: int = 0  # how many bytes it had sent at the last look


class Doorway:
    """Accepts the clients of some listening sockets.

    Args:
        listening: the sockets.
        wanted: called with a connection, its address and the server that it asks for.
        strangers: where clients that are turned away are noted.
    """

    def __init__(
        self,
        listening: Sequence[socket.socket],
        wanted: Callable[[socket.socket, str, str], None],
        strangers: Strangers,
    ) -> None:
        self._listening = listening
        self._wanted = wanted
        self._strangers = strangers
        self._loop = asyncio.get_running_loop()
        self._pending: dict[_Client, None] = {}  # in the order in which they came
        self._of_address: Counter[str] = Counter()
        self._complained = False

    def open(self) -> None:
        """Begin to accept."""
        for listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Accept no more connections, and drop those that have not said what they want."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        for client in list(self._pending):
            self._forget(client)
            client.connection.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, place = listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:  # no more descriptors, say
                if not self._complained:
                    log.error("no connection can be accepted now: %s", error.strerror)
                    self._complained = True
                self._loop.remove_reader(listening)
                self._loop.call_later(_FULL_S, self._resume, listening)
                return
            self._take_in(connection, str(place[0]).partition("%")[0])

    def _resume(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._accept, listening)

    def _take_in(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        self._make_room(address)
        client = _Client(connection, address)
        client.deadline = self._loop.call_later(HELLO_S, self._turn_away, client, SILENT)
        self._pending[client] = None
        self._of_address[address] += 1
        self._loop.add_reader(connection, self._look, client)
        self._look(client)

    def _make_room(self, address: str) -> None:
        """Turn away the client that has waited longest: one with a key does not wait to ask."""
        crowded = address
        if self._of_address[address] < PENDING_OF_ADDRESS:
            if len(self._pending) < PENDING_MAX:
                return
            crowded = self._of_address.most_common(1)[0][0]
        oldest = next(client for client in self._pending if client.address == crowded)
        self._turn_away(oldest, PUSHED_OUT)

    def _look(self, client: _Client) -> None:
        connection = client.connection
        try:
            data = connection.recv(LONGEST, socket.MSG_PEEK)
            name = server_name(data) if data else None
        except BlockingIOError:
            return
        except (OSError, NoHello) as error:
            self._turn_away(client, NO_TLS if isinstance(error, NoHello) else SILENT)
            return
        if not data:
            self._turn_away(client, SILENT)
        elif name is not None:
            self._forget(client)
            self._wanted(connection, client.address, name)
        elif len(data) >= LONGEST:
            self._turn_away(client, NO_TLS)
        elif len(data) == client.seen:  # the client has closed its end: no more will come
            self._turn_away(client, SILENT)
        else:
            # What was sent stays in the socket: look again when there is more, or at its end.
            client.seen = len(data)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(data) + 1)

    def _turn_away(self, client: _Client, reason: str) -> None:
        self._forget(client)
        client.connection.close()
        self._strangers.note(client.address, reason)

    def _forget(self, client: _Client) -> None:
        if client.deadline is not None:
            client.deadline.cancel()
        self._loop.remove_reader(client.connection)
        with contextlib.suppress(OSError):
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        del self._pending[client]
        self._of_address[client.address] -= 1
        if not self._of_address[client.address]:
            del self._of_address[client.address]
