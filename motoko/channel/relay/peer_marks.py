"""Finds the job or the command that a connection belongs to, by the process at its other end."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable

from motoko.host.proc_files import fields_of, start_ticks, variable

# The variable with a relay's name, in the environment of the processes of its job.
VARIABLE = "MOTOKO_RELAY"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_DEPTH_MAX = 100
_CREDENTIALS = struct.Struct("3i")


def peer_of(connection: socket.socket) -> int:
    """The pid of the process that has connected; 0 if it is in another pid namespace."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(data)[0]
    return pid


def command_name(pid: int) -> str:
    """The name of the relay of a process and of the processes that it starts."""
    return f"p{pid}-{start_ticks(pid)}"


def owner_of(pid: int, is_known: Callable[[str], bool]) -> str:
    """The name of the relay that a process belongs to; empty if there is none.

    The nearest relay among the process and its ancestors counts: a command in a job may have a
    relay of its own.

    Args:
        pid: the process.
        is_known: whether a command has a relay of a given name.
    """
    for _ in range(_DEPTH_MAX):
        if pid <= 1:
            break
        own = command_name(pid)
        if is_known(own):
            return own
        name = variable(pid, VARIABLE) or ""
        if NAME.fullmatch(name):
            return name
        fields = fields_of(pid)
        if fields is None:
            break
        pid = int(fields[1])
    return ""
