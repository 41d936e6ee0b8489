"""Handing a connection on to the ZEO server that it asks for: from then on the server owns it.

If there is no server just now, the gate waits for the next one, which soon replaces a killed one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

PATIENCE_S = 6.0  # clients give up after about this long
POLL_S = 0.2


class Handover:
    """Hands connections to a server at its Unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: socket.socket | None = None

    async def hand(self, connection: socket.socket) -> bool:
        """Hand a connection on; ``False`` if no server takes it. It is closed here in any case."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        with connection:
            while not (handed := self._handed(connection)) and loop.time() < deadline:
                await asyncio.sleep(POLL_S)
        return handed

    def _handed(self, connection: socket.socket) -> bool:
        for _ in range(2):  # if the server was restarted, the first try finds its old socket dead
            try:
                server = self._server or self._connected()
                socket.send_fds(server, [b"\0"], [connection.fileno()])
                return True
            except OSError:
                self.close()
        return False

    def _connected(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            server.setblocking(False)
            server.connect(str(self._path))
        except OSError:
            server.close()
            raise
        self._server = server
        return server

    def close(self) -> None:
        """Disconnect from the server."""
        if self._server is not None:
            with contextlib.suppress(OSError):
                self._server.close()
            self._server = None
