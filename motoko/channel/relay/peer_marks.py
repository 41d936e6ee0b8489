"""Whose connection is it: which job's, or which command's? By the process at its other end."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable

from motoko.host.proc_files import fields_of, start_ticks, variable

# In the environment of what belongs to a relay's job: that relay's name.
VARIABLE = "MOTOKO_RELAY"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_DEPTH_MAX = 100
_CREDENTIALS = struct.Struct("3i")


def peer_of(connection: socket.socket) -> int:
    """The pid of who has connected; 0 if that is in another pid namespace."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(data)[0]
    return pid


def command_name(pid: int) -> str:
    """What a relay is called that belongs to a process, and to what this starts."""
    return f"p{pid}-{start_ticks(pid)}"


def owner_of(pid: int, is_known: Callable[[str], bool]) -> str:
    """The name of the relay that a process belongs to; empty for none.

    The next one upward counts: a command in a job may have a relay of its own.

    Args:
        pid: the process.
        is_known: whether a command has a relay of such a name.
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
