"""The sockets in the runtime directory: the control socket, and that none of any daemon is lost.

A cleaner of temporary files may remove them while everybody goes on. Who is connected stays so, and
nobody else can connect.
"""

from __future__ import annotations

import asyncio
import logging

from motoko.runtime import Runtime, remake_sockets
from motoko.supervisor.crew import Crew
from motoko.supervisor.server import Answer, serve
from motoko.supervisor.table import State

log = logging.getLogger(__name__)

LOOK_S = 5.0


class Sockets:
    """Serves the control socket. While it is watched, what was removed is there again soon."""

    def __init__(self, runtime: Runtime, crew: Crew, answer: Answer) -> None:
        self._runtime = runtime
        self._crew = crew
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._said = False

    async def serve(self) -> None:
        """Begin to answer, at the place where commands look."""
        server = await serve(self._runtime.control, self._answer)
        self.close()
        self._server = server

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def watch(self) -> None:
        """Make the control socket again, and have daemons replaced whose socket is gone."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not (self._runtime.control.exists() or await self._made_again()):
                continue
            for member in list(self._crew.members.values()):
                ready = member.entry.state is State.READY
                if ready and not all(path.exists() for path in member.sockets):
                    self._crew.replace(member, "its socket was removed")

    async def _made_again(self) -> bool:
        try:
            if not remake_sockets(self._runtime):
                raise FileExistsError(f"{self._runtime.sockets} is somebody else's")
            await self.serve()
        except OSError as error:
            if not self._said:
                log.error("the control socket was removed, and cannot be made again: %s", error)
            self._said = True
            return False
        log.warning("the control socket was removed: it was made again")
        self._said = False
        return True
