"""The supervisor's event loop: the bus, the control socket, the watchdog, signals, the end."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

from motoko.bus.messages import ORCHESTRATOR, DaemonStatus, Message, OrchestratorStatus
from motoko.bus.publisher import Publisher
from motoko.bus.subscriber import Subscriber
from motoko.config import WorkflowConfig
from motoko.control import SUPERVISOR, living_daemons, uptime_s
from motoko.identity import Identity
from motoko.runtime import Runtime
from motoko.supervisor import daemons
from motoko.supervisor.crew import Crew
from motoko.supervisor.orchestrators import Orchestrators
from motoko.supervisor.report import Listener
from motoko.supervisor.requests import Requests
from motoko.supervisor.sockets import Sockets
from motoko.supervisor.table import State
from motoko.supervisor.watchdog import Watchdog

log = logging.getLogger(__name__)


class Supervisor:
    """One workflow's supervisor. The caller holds its lock, and runs :meth:`run` once."""

    def __init__(
        self,
        config: WorkflowConfig,
        runtime: Runtime,
        listener: Listener,
        launchers: daemons.LauncherOptions | None,
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._loop = asyncio.get_running_loop()
        living = {daemon.name for daemon in living_daemons(runtime)}
        self._specs = daemons.base_daemons(config)
        self._specs += [
            spec
            for spec in daemons.launchers(config, launchers or daemons.LauncherOptions())
            # Launchers that a predecessor started are ours, wanted or not.
            if launchers is not None or spec.name in living
        ]
        names = [spec.name for spec in daemons.all_daemons(config)]
        width = max(len(name) for name in [*names, SUPERVISOR]) + 1
        self._crew = Crew(config, runtime, listener, width)
        self._specs += self._crew.detached.specs(living)
        self._requests = Requests(config, self._crew)
        self._orchestrators = Orchestrators()
        self._identity = Identity.mine()
        self._traffic = self._loop.time()
        self._stop_asked = asyncio.Event()
        self._publisher: Publisher | None = None

    async def run(self) -> None:
        """Start or adopt all daemons, look after them, and stop them when asked to."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled)
        # Losing the terminal must not end the workflow. (Daemons would inherit SIG_IGN.)
        self._loop.add_signal_handler(signal.SIGHUP, log.info, "the terminal has gone")
        # First of all: a bus that lives is heard of at once, and a client may ask at any time.
        for spec in self._specs:
            self._crew.add(spec)
        subscriber = Subscriber(self._runtime.bus_subscribe, self._heard, self._bus_is_live)
        subscriber.subscribe(b"daemon.", ORCHESTRATOR.encode())
        sockets = Sockets(self._runtime, self._crew, self._answer)
        await sockets.serve()
        try:
            self._crew.advance()
            watchdog = Watchdog(
                self._config.supervision,
                self._crew,
                self._runtime.bus_subscribe,
                lambda: self._traffic,
            )
            self._crew.background(watchdog.watch())
            self._crew.background(sockets.watch())
            await self._stop_asked.wait()
            await self._stop()
        finally:
            sockets.close()
            subscriber.close()
            if self._publisher is not None:
                self._publisher.close()

    def _bus_is_live(self) -> None:
        if self._publisher is None:
            # Made early: what a new publisher sends before the bus has noticed it is lost.
            self._publisher = Publisher(self._runtime.bus_publish)
        self._crew.ready(self._crew.members["bus"])

    def _heard(self, message: Message) -> None:
        self._traffic = self._loop.time()
        if isinstance(message, OrchestratorStatus):
            self._orchestrators.heard(message, self._traffic)
        if isinstance(message, DaemonStatus):
            self._crew.heard(message)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["command"]:
            case "status":
                return self._status()
            case "stop":
                self._stop_asked.set()
                return {"stopping": True}
        if self._stop_asked.is_set():
            return {"error": "the workflow is being stopped"}
        return self._requests.answer(request)

    def _status(self) -> dict[str, Any]:
        now = self._loop.time()
        bus = self._crew.members["bus"]
        if bus.entry.state is State.READY:
            bus.detail = f"last message {now - self._traffic:.1f} s ago"
        return {
            "workflow": str(self._config.path),
            "supervisor": {
                "pid": self._identity.pid,
                "host": self._identity.host,
                "state": "stopping" if self._stop_asked.is_set() else self._crew.state,
                "uptime_s": uptime_s(self._identity),
            },
            "daemons": self._crew.status(),
            "orchestrators": self._orchestrators.status(now),
        }

    def _signalled(self) -> None:
        if self._stop_asked.is_set() and not self._crew.hurry.done():
            self._crew.say(SUPERVISOR, "killing what is left")
            self._crew.hurry.set_result(None)
        self._stop_asked.set()

    async def _stop(self) -> None:
        self._crew.say(SUPERVISOR, "stopping")
        if self._publisher is not None:
            self._publisher.send(DaemonStatus(SUPERVISOR, self._identity.pid, "stopping"))
        await self._crew.stop_all()
