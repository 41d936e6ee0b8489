"""Asking a server all that is to be known of it, before there is a client."""

from __future__ import annotations

import socket
import time

from motoko.channel.relay.known_server import QUESTIONS, KnownServer
from motoko.channel.relay.patient_session import PatientSession
from motoko.channel.relay.socket_stream import BLOCK
from motoko.channel.relay.zeo_framing import PICKLES, framed


class NoAnswer(OSError):
    """Whoever is there does not answer as a ZEO server does, or not in time."""


def ask(connection: socket.socket, known: KnownServer, timeout: float) -> None:
    """Ask a server by a connection of nobody's, which is blocking. Raises ``OSError``.

    Args:
        connection: to the server; it is to be closed afterwards.
        known: where the answers are noted.
        timeout: for all of it, in seconds.
    """
    deadline = time.monotonic() + timeout
    session = PatientSession(known)
    session.connected()
    while not session.is_live:
        _listen(connection, session, deadline)
    if not known.hello:
        return  # nothing can be known of one that speaks otherwise
    session.from_client(framed(PICKLES) + b"".join(QUESTIONS))
    connection.sendall(session.to_server)
    while not session.is_idle:
        _listen(connection, session, deadline)


def _listen(connection: socket.socket, session: PatientSession, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise NoAnswer("it does not answer")
    connection.settimeout(left)
    try:
        data = connection.recv(BLOCK)
    except TimeoutError as error:
        raise NoAnswer("it does not answer") from error
    session.from_server(data)
    if not data or session.end:
        raise NoAnswer(session.end or "it has closed the connection")
