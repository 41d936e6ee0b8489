"""The way from a relay to the workflow's sockets: through its gate, wherever that is by now."""

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

# For all of a connection's beginning, by all of the gate's addresses.
CONNECT_S = 20.0

Connected = Callable[[socket.socket | None], None]


class Uplink(Protocol):
    """What sessions need of it."""

    def connect(self, name: str, call: Connected) -> None:
        """Connect to one of the workflow's sockets; the loop calls with the connection.

        The greeting has passed, and was welcome. It is ``None`` if there is no way now; why, is
        logged.
        """


class GateUplink:
    """See :class:`Uplink`: over TLS, each connection begun by a thread of its own.

    Args:
        loop: what calls.
        directory: the channel's.
        greeting: what is said of whoever connects.
        log: gets a line when there is no way.
        fenced: called by the loop with the reason when this attempt is no more to do anything.
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
        self._worked = ""  # which of the gate's addresses has, last

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
        """Connect now, by the first of the gate's addresses behind which the workflow is.

        The record is read each time: the head may be another, or elsewhere, since. Raises
        ``Unreachable``, ``NotWelcome``, or what else is wrong with the channel.
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
