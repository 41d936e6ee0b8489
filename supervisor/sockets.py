"""Looking after the sockets in the runtime directory: the control socket and those of daemons.

A cleaner of temporary files may remove them while the daemons run. Connections that exist remain,
but no new client can connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from motoko.control.runtime_directories import keep_record, remake_sockets
from motoko.errors import MotokoError
from motoko.layout import Runtime
from motoko.supervisor.control_server import ControlServer
from motoko.supervisor.crew import Crew
from motoko.supervisor.table import State

log = logging.getLogger(__name__)

LOOK_S = 5.0


class Sockets:
    """Restores sockets that were removed."""

    def __init__(self, runtime: Runtime, crew: Crew, server: ControlServer) -> None:
        self._runtime = runtime
        self._crew = crew
        self._server = server
        self._complained = False

    async def watch(self) -> None:
        """Make a removed control socket again, and restart daemons whose socket was removed."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._keep_record()
            if not (self._runtime.control.exists() or await self._made_again()):
                continue
            for member in list(self._crew.members.values()):
                ready = member.entry.state is State.READY
                if ready and not all(path.exists() for path in member.sockets):
                    self._crew.replace(member, "its socket was removed")

    def _keep_record(self) -> None:
        """Keep the record by which commands find the sockets: a machine's crash may empty it."""
        with contextlib.suppress(OSError):  # it may be possible to write it later
            if keep_record(self._runtime):
                log.warning("the record of where the sockets are was lost: it was made again")

    async def _made_again(self) -> bool:
        try:
            if not remake_sockets(self._runtime):
                raise FileExistsError(f"{self._runtime.sockets} is not this workflow's")
            await self._server.serve()
        except (OSError, MotokoError) as error:
            if not self._complained:
                log.error("the control socket was removed, and cannot be made again: %s", error)
            self._complained = True
            return False
        log.warning("the control socket was removed: it was made again")
        self._complained = False
        return True
