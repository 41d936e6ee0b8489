"""The messages between relays of one host: a few words of JSON, with file descriptors."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

# Linux passes 253 descriptors with a message.
DESCRIPTORS_MAX = 200
_SIZE_MAX = 1 << 17


class Mark(NamedTuple):
    """Identifies a socket's file: its name may have a new file, and inodes are used again."""

    inode: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Mark | None:
        """The mark of a file; ``None`` if there is none."""
        try:
            info = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return cls(info.st_ino, info.st_mtime_ns)


class Message(NamedTuple):
    """One message: a request or an answer, and the descriptors that came with it."""

    words: dict[str, Any]
    descriptors: list[int]

    def drop(self) -> None:
        """Close the descriptors that came with it."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def connect(directory: int, name: str) -> socket.socket:
    """A connection to a relay's own socket in an open directory. Raises ``OSError``."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.setblocking(False)
        connection.connect(short_path(directory, name))
    except BaseException:
        connection.close()
        raise
    return connection


def short_path(directory: int, name: str) -> str:
    """A path of a file that is short enough for a socket, wherever the directory is."""
    return f"/proc/self/fd/{directory}/{name}"


def send(connection: socket.socket, words: dict[str, Any], descriptors: list[int]) -> None:
    """Send a message. Raises ``OSError``: ``BlockingIOError`` if there is no room for it."""
    socket.send_fds(connection, [json.dumps(words).encode()], descriptors)


def receive(connection: socket.socket) -> Message | None:
    """The next message; ``None`` at the end of the connection. Raises ``OSError``."""
    flags = socket.MSG_CMSG_CLOEXEC
    data, descriptors, _, _ = socket.recv_fds(connection, _SIZE_MAX, DESCRIPTORS_MAX + 1, flags)
    if not data:
        return None
    try:
        words = json.loads(data)
    except ValueError:
        words = None
    return Message(words if isinstance(words, dict) else {}, descriptors)
