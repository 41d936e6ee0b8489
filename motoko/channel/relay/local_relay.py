"""A relay of this host: at one Unix socket, to the ZEO server that is at another."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from motoko.channel.relay.event_loop import READ, EventLoop
from motoko.channel.relay.patience import PatientSplice
from motoko.channel.relay.uplink import Connected

BACKLOG = 128
FULL_S = 0.2  # until the next connection is accepted, if there is no descriptor for it


class NearUplink:
    """See :class:`motoko.channel.relay.uplink.Uplink`: to a socket of this host."""

    def __init__(self, loop: EventLoop, server: Path) -> None:
        self._loop = loop
        self._server = str(server)

    def connect(self, name: str, call: Connected) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        try:
            connection.connect(self._server)
        except OSError:  # it is away, or takes no more now
            connection.close()
            self._loop.later(0.0, lambda: call(None))
        else:
            self._loop.later(0.0, lambda: call(connection))


def serve(path: Path, server: Path, patience: float, log: Callable[[str], None]) -> None:
    """Serve clients at a socket until the process ends; what lay there is replaced.

    Args:
        path: of the socket, in a directory of the account's own.
        server: the ZEO server's socket.
        patience: for so many seconds a client is kept without a server.
        log: gets a line for each client that is cut.
    """
    loop = EventLoop()
    uplink = NearUplink(loop, server)
    with socket.socket(socket.AF_UNIX) as listener:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        descriptor = listener.fileno()

        def accept(events: int) -> None:
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log(f"no connection can be accepted now: {error.strerror}")
                loop.change(descriptor, 0)
                loop.later(FULL_S, lambda: loop.change(descriptor, READ))
                return
            PatientSplice(loop, client, path.name, uplink, patience, log)

        loop.watch(descriptor, READ, accept)
        own = os.stat(path)
        try:
            loop.run()
        finally:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(path), own):
                    path.unlink()
