"""Handing a connection on to the ZEO server that it asks for: from then on it is that one's.

Where there is none just now, the next one is waited for, which takes a killed server's place soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

PATIENCE_S = 6.0  # clients give up after about as long
POLL_S = 0.2


class Handover:
    """Hands connections to a server at its Unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: socket.socket | None = None

    async def hand(self, connection: socket.socket) -> bool:
        """Hand a connection on; ``False`` if nobody takes it. It is closed here in any case."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        with connection:
            while not (handed := self._handed(connection)) and loop.time() < deadline:
                await asyncio.sleep(POLL_S)
        return handed

    def _handed(self, connection: socket.socket) -> bool:
        for _ in range(2):  # a server that was restarted is another one's end of a connection
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
        """Be no longer connected to it."""
        if self._server is not None:
            with contextlib.suppress(OSError):
                self._server.close()
            self._server = None
