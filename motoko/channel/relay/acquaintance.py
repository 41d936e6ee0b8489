"""Asks a server all that a relay has to know of it, before there is a client."""

from __future__ import annotations

import socket
import time

from motoko.channel.relay.known_server import QUESTIONS, KnownServer
from motoko.channel.relay.patient_session import PatientSession
from motoko.channel.relay.socket_stream import BLOCK
from motoko.channel.relay.zeo_framing import PICKLES, framed


class NoAnswer(OSError):
    """The other side does not answer as a ZEO server does, or not in time."""


def ask(connection: socket.socket, known: KnownServer, timeout: float) -> None:
    """Ask a server, over a blocking connection that serves no client. Raises ``OSError``.

    Args:
        connection: the connection to the server; the caller closes it afterwards.
        known: where the answers are noted.
        timeout: for all questions together, in seconds.
    """
    deadline = time.monotonic() + timeout
    session = PatientSession(known)
    session.connected()
    while not session.is_live:
        _listen(connection, session, deadline)
    if not known.hello:
        return  # a server with another protocol cannot be asked
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
