"""Clients of a workflow's sockets that come in by its gate, as those of other hosts do."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from arrivals import PATIENCE_S, come_in
from support import Flow

from motoko.channel.greeting import Greeting
from motoko.errors import MotokoError


@contextlib.contextmanager
def way_in(flow: Flow, name: str, greeting: Greeting) -> Iterator[str]:
    """A Unix socket whose clients are led to one of the workflow's, greeted for like that."""

    def serve(client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError, MotokoError),
            come_in(flow, name, **greeting._asdict()) as server,
        ):
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join(PATIENCE_S)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with tempfile.TemporaryDirectory(prefix="mc-", dir="/tmp") as place:
        path = str(Path(place) / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            threading.Thread(target=accept, args=(listener,), daemon=True).start()
            yield path
            listener.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
