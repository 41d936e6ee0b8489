"""Where the workflow's gate listens: the record that other hosts read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from motoko.errors import MotokoError
from motoko.host.files import read_json, write_atomically

FILE_NAME = "gate.json"


class NoChannel(MotokoError):
    """The workflow cannot be reached from other hosts: no gate is recorded."""


class Endpoint(NamedTuple):
    """Where a gate listens, and what it leads to.

    Attributes:
        hosts: addresses and names of its host, to be tried in this order.
        port: its port, the same at all of them.
        host: the name that its host calls itself.
        boot_id: identifies the boot of its host.
        sockets: the directory of the workflow's sockets there.
        names: the names of the sockets that can be reached.
        patience: for how many seconds a client is kept without a server, by name of the socket.
    """

    hosts: tuple[str, ...]
    port: int
    host: str
    boot_id: str
    sockets: str
    names: tuple[str, ...]
    patience: Mapping[str, float] = MappingProxyType({})

    def write(self, directory: Path) -> None:
        """Record the gate in the channel's directory."""
        write_atomically(
            directory / FILE_NAME,
            json.dumps({**self._asdict(), "patience": {**self.patience}}) + "\n",
        )


def read(directory: Path) -> Endpoint:
    """The recorded gate. Raises ``NoChannel`` if there is none, or if it cannot be read."""
    path = directory / FILE_NAME
    try:
        data = read_json(path)
    except OSError as error:
        raise NoChannel(f"{path} cannot be read: {error.strerror}") from error
    if data is None:
        raise NoChannel(
            f"the workflow does not listen for other hosts: there is no {path}",
            hint="`remote: true` in its motoko.yaml, and `motoko supervise`",
        )
    try:
        return Endpoint(
            hosts=tuple(str(host) for host in data["hosts"]),
            port=int(data["port"]),
            host=str(data["host"]),
            boot_id=str(data["boot_id"]),
            sockets=str(data["sockets"]),
            names=tuple(str(name) for name in data["names"]),
            patience={str(name): float(s) for name, s in data["patience"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NoChannel(f"{path} is of another version: {error!r}") from error
