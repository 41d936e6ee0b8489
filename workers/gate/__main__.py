"""The gate of a workflow: ``python -m motoko.workers.gate``.

One TCP port for all that other hosts need. The first message of a client's TLS names the server
that the client wants. The gate only peeks at it, so that the server can read it again. Connections
to a study's database are handed to its ZEO server, and go on when the gate ends. TLS connections
to the control socket and the bus end here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from motoko.bus.messages import DaemonStatus
from motoko.bus.publisher import Publisher
from motoko.channel import endpoint, keys, listening
from motoko.channel.endpoint import Endpoint, NoChannel
from motoko.channel.greeting import BadGreeting, Greeting
from motoko.channel.handshakes import why_not
from motoko.channel.key_file import UnsafeKey
from motoko.channel.strangers import Strangers
from motoko.channel.tls import Contexts
from motoko.config.daemon_kinds import GATE
from motoko.host.clock import HEARTBEAT_S, until_next
from motoko.host.proc_files import boot_id
from motoko.operations.remote_access import gate_address
from motoko.runs.fences import reason_of
from motoko.workers.daemon import Daemon, arguments, as_process, running, told_to_end
from motoko.workers.gate.doorway import Doorway
from motoko.workers.gate.handover import Handover
from motoko.workers.gate.passing_on import splice

log = logging.getLogger(__name__)

LOOK_AT_KEY_S = 86_400.0


def main() -> None:
    """Entry point of ``python -m motoko.workers.gate``."""
    options = arguments("The gate of a Motoko workflow.")
    with running(GATE, options.workflow) as daemon:
        keys.ensure(daemon.runtime.channel)
        asyncio.run(Gate(daemon).run())


class Gate:
    """The gate of one workflow, in a running event loop."""

    def __init__(self, daemon: Daemon) -> None:
        runtime = daemon.runtime
        self._directory = daemon.config.directory
        self._channel = runtime.channel
        self._config = daemon.config
        self._sockets = runtime.sockets
        self._publish = runtime.bus_publish
        bus = (runtime.bus_publish, runtime.bus_subscribe)
        paths = [runtime.control, *(Path(address.removeprefix("ipc://")) for address in bus)]
        self._spliced = {path.name: path for path in paths}
        self._handed: dict[str, Handover] = {}
        self._patience: dict[str, float] = {}
        for name in daemon.config.local_studies:
            study, handover = daemon.config.studies[name], Handover(runtime.accepted(name))
            # zeo.conf may name the socket of this host's relay. Clients on other hosts have relays
            # of their own, so that name also means the server.
            places = (runtime.zeo(name), *([runtime.kept(name)] if study.is_kept else []))
            for place in places:
                self._handed[place.name] = handover
                self._patience[place.name] = study.policy.patience_elsewhere
        self._contexts = Contexts(runtime.channel, server=True)
        self._known: dict[str, str] = {}
        self._named_by: ssl.SSLContext | None = None  # the context whose key made these names
        self._strangers = Strangers()
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble = ""

    async def run(self) -> None:
        """Listen until told to end."""
        stop = told_to_end()
        asyncio.get_running_loop().set_exception_handler(_complain)
        sockets = self._listen()
        place = sockets[0].getsockname()
        where = listening.shown(place[0], place[1])
        doorway = Doorway(sockets, self._wanted, self._strangers)
        doorway.open()
        log.info("listening at %s", where)
        beside = [
            asyncio.ensure_future(self._beat(where)),
            asyncio.ensure_future(self._look_at_key()),
        ]
        try:
            await asyncio.wait(
                [asyncio.ensure_future(stop.wait()), *beside], return_when=asyncio.FIRST_COMPLETED
            )
            for task in beside:
                if task.done():
                    task.result()
        finally:
            doorway.close()
            for task in (*beside, *self._tasks):
                task.cancel()
            await asyncio.gather(*beside, *self._tasks, return_exceptions=True)
            for handover in self._handed.values():
                handover.close()
        log.info("stopped")

    def _listen(self) -> list[socket.socket]:
        """Listen at the configured address and port, else at the previous ones; record them."""
        try:
            before: Endpoint | None = endpoint.read(self._channel)
        except NoChannel:
            before = None
        address, port = gate_address(self._config, before)
        if port is None and before is not None:
            try:
                sockets = listening.bound(address, before.port)
            except listening.CannotListen as error:
                log.warning("%s: another port is taken", error)
                sockets = listening.bound(address, 0)
        else:
            sockets = listening.bound(address, port or 0)
        Endpoint(
            hosts=listening.hosts(sockets, address),
            port=sockets[0].getsockname()[1],
            host=socket.gethostname(),
            boot_id=boot_id(),
            sockets=str(self._sockets),
            names=(*self._spliced, *self._handed),
            patience=self._patience,
        ).write(self._channel)
        return sockets

    def _wanted(self, connection: socket.socket, address: str, name: str) -> None:
        """A client has said which server it wants: connect it, or turn it away."""
        try:
            wanted = self._names().get(name, "")
        except UnsafeKey as error:
            self._trouble = str(error)
            self._strangers.note(address, str(error))
            connection.close()
            return
        self._trouble = ""
        if wanted in self._handed:
            self._background(self._hand_on(connection, wanted))
        elif wanted:
            self._background(self._splice(connection, address, wanted))
        else:
            connection.close()
            self._strangers.note(address, "it has no key, or one of before `motoko keys renew`")

    def _names(self) -> dict[str, str]:
        """The sockets' names, by the names that clients ask for. The latter change with the key."""
        context = self._contexts.current()
        if context is not self._named_by:
            every = (*self._handed, *self._spliced)
            self._known = {self._contexts.server_name(name): name for name in every}
            self._named_by = context
        return self._known

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_on(self, connection: socket.socket, name: str) -> None:
        if not await self._handed[name].hand(connection):
            log.warning("%s: its server accepts no connections now", name)

    async def _splice(self, connection: socket.socket, address: str, name: str) -> None:
        try:
            await splice(connection, self._contexts.current(), self._spliced[name], self._refused)
        except (OSError, UnsafeKey, BadGreeting) as error:
            self._strangers.note(address, why_not(error))

    def _refused(self, greeting: Greeting) -> tuple[str, bool] | None:
        if not greeting.study or greeting.run is None or greeting.attempt is None:
            return None
        reason = reason_of(self._directory, greeting.study, greeting.run, greeting.attempt)
        return None if reason is None else (reason, True)

    async def _beat(self, where: str) -> None:
        with Publisher(self._publish) as publisher:
            while True:
                publisher.send(
                    DaemonStatus(
                        GATE,
                        os.getpid(),
                        detail=f"listens at {where}",
                        counts={"spliced": len(self._tasks), "turned_away": self._strangers.count},
                        trouble=self._trouble,
                    )
                )
                await asyncio.sleep(until_next(HEARTBEAT_S))

    async def _look_at_key(self) -> None:
        """Renew the key well before it expires."""
        while True:
            await asyncio.sleep(LOOK_AT_KEY_S)
            try:
                present = await asyncio.to_thread(keys.read, self._channel)
                if present is None or present.is_due(datetime.now(UTC)):
                    made = await asyncio.to_thread(keys.ensure, self._channel)
                    log.info("the key was renewed; it is valid until %s", made.ends.date())
            except (OSError, UnsafeKey) as error:
                self._trouble = f"the key cannot be renewed: {error}"
                log.error("%s", self._trouble)


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log the failure of a single connection in one line, at most."""
    error = context.get("exception")
    if isinstance(error, OSError):
        log.debug("%s: %s", context.get("message"), error)
    else:
        loop.default_exception_handler(context)


if __name__ == "__main__":
    as_process(main)
