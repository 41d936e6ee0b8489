"""What tests of the gate share: coming in with the workflow's key, and as somebody without it."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

from support import Flow, wait_until

from motoko.channel import endpoint
from motoko.channel.connecting import connect
from motoko.channel.endpoint import Endpoint
from motoko.channel.greeting import Greeting
from motoko.channel.tls import Contexts
from motoko.layout import channel_directory

PATIENCE_S = 20.0
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
AT_LOOPBACK = "remote: {address: 127.0.0.1}\n"


def let_in(flow: Flow, text: str = AT_LOOPBACK) -> Flow:
    """Have other hosts reach a workflow that is not supervised yet."""
    flow.path.write_text(flow.path.read_text() + text)
    return flow


def gate(flow: Flow) -> Endpoint:
    """Where the workflow's gate listens."""
    return endpoint.read(channel_directory(flow.directory))


def contexts(flow: Flow) -> Contexts:
    """A client's side of TLS, with the workflow's key."""
    return Contexts(channel_directory(flow.directory), server=False)


def come_in(flow: Flow, name: str = "zeo-mult", **greeting: Any) -> ssl.SSLSocket:
    """A connection to one of the workflow's sockets, as of another host."""
    return connect(gate(flow), contexts(flow), name, Greeting(**greeting), PATIENCE_S)


def bare(flow: Flow) -> socket.socket:
    """A TCP connection to the gate, over which nothing was sent yet."""
    where = gate(flow)
    connection = socket.create_connection((where.hosts[0], where.port), PATIENCE_S)
    connection.settimeout(PATIENCE_S)
    return connection


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    data = b""
    try:
        while more := connection.recv(1 << 16):
            data += more
    except (ConnectionError, ssl.SSLError):
        pass
    return data


def message(connection: socket.socket) -> bytes:
    """A message of ZEO's."""
    (length,) = struct.unpack(">I", exactly(connection, 4))
    return exactly(connection, length)


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "the connection has ended"
        data += more
    return data


def answers(connection: ssl.SSLSocket) -> bool:
    """Whether a ZEO server answers over a connection that has just been made."""
    connection.settimeout(PATIENCE_S)
    assert message(connection)[:1] in b"MZ"
    connection.sendall(struct.pack(">I", 4) + b"ruok")
    return "1" in json.loads(message(connection))


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def is_serving(flow: Flow) -> bool:
    """Whether a client with the key is served now."""
    with come_in(flow) as connection:
        return answers(connection)


def wait_until_serving(flow: Flow) -> None:
    """Wait until clients with the key are served."""

    def serving() -> bool:
        try:
            return is_serving(flow)
        except RuntimeError as error:  # Unreachable is one
            raise AssertionError(str(error)) from error

    wait_until(serving, "clients of other hosts are served")
