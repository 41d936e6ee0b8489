"""A relay's work: it accepts connections, serves its own, and hands others to their relays."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from motoko.channel import endpoint as endpoints
from motoko.channel.endpoint import Endpoint
from motoko.channel.relay import descriptor_messages as messages
from motoko.channel.relay.event_loop import READ, EventLoop
from motoko.channel.relay.keeper import Keeping
from motoko.channel.relay.kept_sockets import left_places
from motoko.channel.relay.peer_marks import owner_of, peer_of
from motoko.channel.relay.shared_sockets import FOLDER, SharedSockets
from motoko.errors import MotokoError
from motoko.host.proc_files import boot_id

# The relay checks the sockets, and where the head is, this often.
LOOK_S = 2.0
BUSY_S = 0.1  # it checks again this soon, if another relay is just settling the sockets
START_S = 10.0
LEAVE_S = 2.0
# Connections of a job whose relay is being replaced wait this long for the new one.
OWNER_S = 10.0
OWNER_TRY_S = 0.05
FULL_S = 0.2  # after this long the next connection is accepted, if there was no descriptor for it

_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Begin = Callable[[str, socket.socket], None]


class Relay:
    """What one relay serves.

    Args:
        loop: the event loop that calls it.
        directory: the channel's directory.
        name: the name of this relay among those of this host.
        mark: the beginning of the names of this workflow's relays.
        begin: begins a session, for a socket name and a client.
        log: gets a line for each problem.
        keeping: holds what the relay before has left, and keeps things for the next.
    """

    def __init__(
        self,
        loop: EventLoop,
        directory: Path,
        name: str,
        mark: str,
        begin: Begin,
        log: Callable[[str], None],
        keeping: Keeping,
    ) -> None:
        self._loop = loop
        self._directory = directory
        self._name = name
        self._mark = mark
        self._begin = begin
        self._log = log
        self._keeping = keeping
        self._gate: Endpoint | None = None
        self._places: dict[str, SharedSockets] = {}
        self._listeners: dict[int, Callable[[], None]] = {}
        self._is_away = False

    def patience(self, name: str) -> float:
        """For how many seconds clients of a socket are kept while its server is away."""
        return 0.0 if self._gate is None else self._gate.patience.get(name, 0.0)

    # Its sockets

    def open(self, gate: Endpoint) -> bool:
        """Get or make the sockets; ``False`` if other relays hold the lock for too long.

        Raises ``UnusableSockets``.
        """
        for directory in left_places(self._keeping):
            if directory.name != FOLDER:
                self._place(str(directory))
        return self._settle(gate, START_S)

    def retire(self) -> None:
        """Make no sockets any more, but serve until another relay of this name takes them."""
        self._is_away = True

    def close(self) -> None:
        """Give up all sockets."""
        for descriptor in list(self._listeners):
            self._loop.forget(descriptor)
        for place in self._places.values():
            place.leave(LEAVE_S)

    def look(self) -> None:
        """Check, again and again, that the sockets exist, and where the head is."""
        pause = LOOK_S
        if not self._is_away:
            try:
                # A relay that was suspended learns of others' sockets before it makes its own.
                for place in self._places.values():
                    if place.own is not None:
                        self._accept_relay(place, place.own)
                gate = endpoints.read(self._directory)
                if gate.boot_id == boot_id():
                    self._give_way()  # the workflow has moved to this host
                elif not self._settle(gate, 0.0):
                    pause = BUSY_S
            except (MotokoError, OSError) as error:
                self._log(f"its sockets: {error}")
        self._loop.later(pause, self.look)

    def _settle(self, gate: Endpoint, timeout: float) -> bool:
        self._gate = gate
        self._place(gate.sockets)
        return all([self._kept(place, gate, timeout) for place in self._places.values()])

    def _place(self, directory: str) -> None:
        """Add a directory for sockets. Earlier ones are kept: clients may still know them."""
        if directory not in self._places:
            replaced = self._replaced_in(directory)
            place = SharedSockets(Path(directory), self._name, replaced, self._keeping)
            self._places[directory] = place
            place.inherit()

    def _kept(self, place: SharedSockets, gate: Endpoint, timeout: float) -> bool:
        if str(place.directory) == gate.sockets:
            return place.settle(gate.names, timeout)
        try:
            return place.settle(gate.names, timeout)
        except (MotokoError, OSError) as error:
            self._log(f"the earlier sockets: {error}")  # another process has that place by now
            return True

    def _replaced_in(
        self, directory: str
    ) -> Callable[[str, socket.socket, socket.socket | None], None]:
        def replaced(name: str, now: socket.socket, before: socket.socket | None) -> None:
            place = self._places[directory]

            def accept() -> None:
                if name:
                    self._accept(place, name, now)
                else:
                    self._accept_relay(place, now)

            if before is not None:
                descriptor = before.fileno()
                self._listeners[descriptor]()  # clients that wait there are still accepted
                self._loop.forget(descriptor)
                del self._listeners[descriptor]
                before.close()
            self._listeners[now.fileno()] = accept
            self._loop.watch(now.fileno(), READ, lambda events: accept())

        return replaced

    def _give_way(self) -> None:
        self._is_away = True
        for descriptor, accept in list(self._listeners.items()):
            self._loop.forget(descriptor)
            accept()
        self._listeners.clear()
        for place in self._places.values():
            place.give_way()

    # Connections

    def _accepted(self, listener: socket.socket) -> socket.socket | None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None  # another relay was faster, or the client is gone
        except OSError as error:
            if error.errno in _FULL:
                self._log(f"no connection can be accepted now: {error.strerror}")
                self._rest(listener)
            return None
        connection.setblocking(False)
        return connection

    def _rest(self, listener: socket.socket) -> None:
        descriptor = listener.fileno()
        self._loop.change(descriptor, 0)

        def go_on() -> None:
            if descriptor in self._listeners and listener.fileno() == descriptor:
                self._loop.change(descriptor, READ)

        self._loop.later(FULL_S, go_on)

    def _accept(self, place: SharedSockets, name: str, listener: socket.socket) -> None:
        while (client := self._accepted(listener)) is not None:
            owner = owner_of(peer_of(client), place.knows)
            if owner == self._name or not self._is_a_relays(place, owner):
                self._begin(name, client)
            else:
                self._hand_over(place, owner, name, client, OWNER_S)

    def _is_a_relays(self, place: SharedSockets, owner: str) -> bool:
        """Whether an owner is another relay of this workflow, even if it has just died."""
        return owner.startswith(self._mark) or (bool(owner) and place.knows(owner))

    def _hand_over(
        self, place: SharedSockets, owner: str, name: str, client: socket.socket, left: float
    ) -> None:
        if place.hand_over(owner, name, client):
            client.close()
        elif left <= 0:
            self._log(f"{name}: a client's own relay, {owner}, is not running")
            client.close()
        else:
            self._loop.later(
                OWNER_TRY_S,
                lambda: self._hand_over(place, owner, name, client, left - OWNER_TRY_S),
            )

    # Other relays

    def _accept_relay(self, place: SharedSockets, listener: socket.socket) -> None:
        while (other := self._accepted(listener)) is not None:
            answer = self._answering(place, other)
            self._loop.watch(other.fileno(), READ, answer)
            answer(READ)

    def _answering(self, place: SharedSockets, other: socket.socket) -> Callable[[int], None]:
        def answer(events: int) -> None:
            try:
                while (message := messages.receive(other)) is not None:
                    if "leave" in message.words:
                        self._give_way()
                        break
                    self._answer(place, other, message)
            except BlockingIOError:
                return
            except OSError:
                pass  # the other relay has just ended
            self._loop.forget(other.fileno())
            other.close()

        return answer

    def _answer(
        self, place: SharedSockets, other: socket.socket, message: messages.Message
    ) -> None:
        words: Mapping[str, object] = message.words
        if "give" in words:
            # A relay that was suspended answers late: the relay that has asked may be gone by now.
            with contextlib.suppress(OSError):
                place.tell(other)
        elif "held" in words:
            place.take(message)
        elif "serve" in words and len(message.descriptors) == 1:
            self._begin(str(words["serve"]), socket.socket(fileno=message.descriptors[0]))
        else:
            message.drop()
