"""Connects another host to one of the workflow's sockets, and exchanges the greeting."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from motoko.channel import greeting as greetings
from motoko.channel.endpoint import Endpoint
from motoko.channel.greeting import Greeting
from motoko.channel.tls import Contexts, keep_alive
from motoko.errors import MotokoError


class Unreachable(MotokoError):
    """No gate answers at the recorded address, or the gate is not this workflow's."""


def connect(
    endpoint: Endpoint, contexts: Contexts, name: str, greeting: Greeting, timeout: float
) -> ssl.SSLSocket:
    """A blocking connection to one of the workflow's sockets, after the greeting.

    Raises ``Unreachable``, or ``NotWelcome``.

    Args:
        endpoint: the gate.
        contexts: the client's TLS contexts.
        name: the socket's file name.
        greeting: who connects.
        timeout: for connection and greeting together, in seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        server_name = contexts.server_name(name)
        try:
            return _connected(endpoint, contexts, server_name, greeting, deadline)
        except (OSError, greetings.BadGreeting) as error:
            if contexts.server_name(name) != server_name:
                continue  # the key was renewed meanwhile
            raise Unreachable(
                f"the gate at {endpoint.hosts[0]}:{endpoint.port} does not connect to {name}: "
                f"{error}",
                hint="`motoko ps` where the workflow is supervised shows whether the gate works",
            ) from error


def _connected(
    endpoint: Endpoint, contexts: Contexts, server_name: str, greeting: Greeting, deadline: float
) -> ssl.SSLSocket:
    with contextlib.ExitStack() as opened:
        raw = opened.enter_context(reach(endpoint, deadline))
        raw.settimeout(max(deadline - time.monotonic(), 0.1))
        connection = opened.enter_context(
            contexts.current().wrap_socket(raw, server_hostname=server_name)
        )
        connection.sendall(greeting.line())
        greetings.check_answer(_line(connection, deadline))
        connection.settimeout(None)
        opened.pop_all()
        return connection


def reach(endpoint: Endpoint, deadline: float) -> socket.socket:
    """A TCP connection to a gate, at the first of its addresses that answers."""
    reasons = []
    for count, host in enumerate(endpoint.hosts):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        share = left / (len(endpoint.hosts) - count)
        try:
            connection = socket.create_connection((host, endpoint.port), share)
        except (OSError, UnicodeError) as error:
            reasons.append(f"{host}: {error}")
            continue
        keep_alive(connection)
        return connection
    raise Unreachable(
        f"{endpoint.host} cannot be reached at port {endpoint.port} ({'; '.join(reasons)})",
        hint="is it up, and does a firewall let this host through?",
    )


def _line(connection: ssl.SSLSocket, deadline: float) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 0.1))
        data = connection.recv(1)  # what follows the line is not ours
        if not data:
            raise ConnectionError("the connection was closed")
        line += data
        if len(line) > greetings.LINE_MAX:
            raise ConnectionError("the answer has no end")
    return bytes(line)
