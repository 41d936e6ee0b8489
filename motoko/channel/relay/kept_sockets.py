"""The listening sockets that a keeper keeps for the next relay, and their paths."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from motoko.channel.relay.descriptor_messages import Mark, Message
from motoko.channel.relay.keeper import Keeping

_KEY = "socket "  # the beginning of their keys


def keep_socket(keeping: Keeping, path: Path, listener: socket.socket, mark: Mark | None) -> None:
    """Have the keeper keep a socket that listens at a path."""
    keeping.keep(f"{_KEY}{path}", {"mark": mark}, [listener.fileno()])


def left_sockets(keeping: Keeping, directory: Path) -> Iterator[tuple[str, socket.socket, Mark]]:
    """The kept sockets of a directory whose files are still the same: names, sockets, marks."""
    for path, message in _left(keeping):
        if path.parent == directory and message.descriptors:
            mark = Mark(*message.words["mark"])
            listener = socket.socket(fileno=message.descriptors.pop())
            if Mark.of(path) == mark:
                yield path.name, listener, mark
            else:
                listener.close()


def left_places(keeping: Keeping) -> set[Path]:
    """The directories of the kept sockets."""
    return {path.parent for path, _ in _left(keeping)}


def _left(keeping: Keeping) -> Iterator[tuple[Path, Message]]:
    for key, message in keeping.left.items():
        if key.startswith(_KEY):
            yield Path(key.removeprefix(_KEY)), message
