"""The way from a relay to the workflow's sockets: through the gate, wherever that is by now."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from motoko.channel import endpoint as endpoints
from motoko.channel.connecting import Unreachable, connect
from motoko.channel.greeting import Greeting, NotWelcome
from motoko.channel.relay.event_loop import EventLoop
from motoko.channel.tls import Contexts
from motoko.errors import MotokoError

# How long connecting may take, at all of the gate's addresses together.
CONNECT_S = 20.0

Connected = Callable[[socket.socket | None], None]


class Uplink(Protocol):
    """What sessions need of the way to the servers."""

    def connect(self, name: str, call: Connected) -> None:
        """Connect to one of the workflow's sockets; the loop makes the call with the connection.

        The greeting has been sent and was welcome. The connection is ``None`` if there is no way
        now; the reason is logged.
        """


class GateUplink:
    """The way over TLS; each connection is made by its own thread. See :class:`Uplink`.

    Args:
        loop: the event loop that makes the calls.
        directory: the channel's directory.
        greeting: the greeting of the relay's clients.
        log: gets a line when there is no way.
        fenced: called by the loop with the reason when this attempt was declared dead.
    """

    def __init__(
        self,
        loop: EventLoop,
        directory: Path,
        greeting: Greeting,
        log: Callable[[str], None],
        fenced: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._directory = directory
        self._greeting = greeting
        self._log = log
        self._fenced = fenced
        self._contexts = Contexts(directory, server=False)
        self._worked = ""  # the gate's address that worked last

    def connect(self, name: str, call: Connected) -> None:
        threading.Thread(target=self._connect, args=(name, call), daemon=True).start()

    def _connect(self, name: str, call: Connected) -> None:
        connection: socket.socket | None = None
        try:
            connection = self.connection(name)
        except NotWelcome as error:
            self._log(f"{name}: {error}")
            if error.fenced:
                reason = str(error)
                self._loop.soon(lambda: self._fenced(reason))
        except (MotokoError, OSError) as error:
            self._log(f"{name}: {error}")
        finally:
            self._loop.soon(lambda: call(connection))

    def connection(self, name: str) -> socket.socket:
        """Connect now, at the first of the gate's addresses at which the workflow answers.

        The gate's record is read each time: the head may have changed. Raises ``Unreachable``,
        ``NotWelcome``, or another error of the channel.
        """
        gate = endpoints.read(self._directory)
        deadline = time.monotonic() + CONNECT_S
        hosts = sorted(gate.hosts, key=lambda host: host != self._worked)
        reasons = []
        for count, host in enumerate(hosts):
            share = max(deadline - time.monotonic(), 1.0) / (len(hosts) - count)
            try:
                connection = connect(
                    *(gate._replace(hosts=(host,)), self._contexts, name, self._greeting, share)
                )
            except Unreachable as error:
                reasons.append(str(error))
                continue
            self._worked = host
            return connection
        raise Unreachable("; ".join(reasons))
