"""The supervisor's event loop: the bus, the control socket, the watchdog, signals, the end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from typing import Any

import msgspec

from motoko.bus.messages import ORCHESTRATOR, DaemonStatus, Lacking, Message, OrchestratorStatus
from motoko.bus.publisher import Publisher
from motoko.bus.subscriber import Subscriber
from motoko.config import WorkflowConfig, daemon_kinds
from motoko.control.daemon_records import SUPERVISOR, living_daemons
from motoko.control.protocol import (
    AnyRequest,
    RequestRefused,
    Status,
    StatusRequest,
    Stopping,
    StopRequest,
    SupervisorInfo,
)
from motoko.host.clock import uptime_s
from motoko.host.identity import Identity
from motoko.host.living_processes import command_line
from motoko.host.process_limits import NoMoreProcesses
from motoko.layout import Runtime
from motoko.supervisor import daemon_specs
from motoko.supervisor.control_server import ControlServer
from motoko.supervisor.crew import Crew
from motoko.supervisor.heard_orchestrators import Orchestrators
from motoko.supervisor.lacking import lacking
from motoko.supervisor.listeners import Listener
from motoko.supervisor.place import Lost, Place
from motoko.supervisor.probes import ROOM_S
from motoko.supervisor.requests import Requests
from motoko.supervisor.sockets import Sockets
from motoko.supervisor.status_changes import StatusChanges
from motoko.supervisor.table import State
from motoko.supervisor.watchdog import Watchdog

log = logging.getLogger(__name__)

TELL_S = 10.0  # how often to repeat what is lacking: a message may be lost


class Supervisor:
    """One workflow's supervisor. The caller holds its lock, and calls :meth:`run` once."""

    def __init__(
        self,
        config: WorkflowConfig,
        runtime: Runtime,
        listener: Listener,
        launchers: daemon_specs.LauncherOptions | None,
        place: Place,
        *,
        remote: bool,
    ) -> None:
        self._config = config
        self._place = place
        self._runtime = runtime
        self._loop = asyncio.get_running_loop()
        living = {daemon.name: daemon.identity for daemon in living_daemons(runtime)}
        self._adopts = bool(living)
        self._specs = daemon_specs.base_daemons(config, remote=remote)
        self._outdated: list[str] = []  # launchers whose options differ from the requested ones
        for spec in daemon_specs.launchers(config, launchers or daemon_specs.LauncherOptions()):
            # Launchers that an earlier supervisor started are adopted, asked for or not.
            if identity := living.get(spec.name):
                present = daemon_specs.LauncherOptions.of(command_line(identity))
                options = (launchers or present).over(present)
                self._specs.append(daemon_specs.launcher(config, str(spec.study), options))
                if options != present:
                    self._outdated.append(spec.name)
            elif launchers is not None:
                self._specs.append(spec)
        names = [spec.name for spec in daemon_specs.all_daemons(config)]
        width = max(len(name) for name in [*names, SUPERVISOR]) + 1
        self._changes = StatusChanges()
        self._listener = listener
        self._crew = Crew(config, runtime, listener, width, self._changes)
        self._specs += self._crew.detached.specs(set(living))
        self._requests = Requests(config, self._crew)
        self._orchestrators = Orchestrators()
        self._identity = Identity.mine()
        self._traffic = self._loop.time()
        self._stop_asked = asyncio.Event()
        self._stopped_by = "a signal to its supervisor"
        self._publisher: Publisher | None = None

    async def run(self) -> Lost | None:
        """Start or adopt all daemons, look after them, and stop them when asked to.

        Also stops them when the workflow's place is lost, and then returns how it was lost.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled)
        # Losing the terminal must not end the workflow. (Daemons would inherit SIG_IGN.)
        self._loop.add_signal_handler(signal.SIGHUP, log.info, "the terminal has gone")
        self._loop.set_exception_handler(self._callback_failed)
        self._listener.on_interruption(self._interrupted)
        # Before the subscriber and the server: a living bus is heard at once, and a client may ask
        # at any time.
        for spec in self._specs:
            self._crew.add(spec)
        subscriber = Subscriber(self._runtime.bus_subscribe, self._heard, self._bus_is_live)
        subscriber.subscribe(b"daemon.", ORCHESTRATOR.encode())
        server = ControlServer(
            self._runtime.control, self._place.identity, self._answer, self._changes
        )
        await server.serve()
        try:
            self._crew.advance()
            if self._outdated:
                self._crew.restart(self._outdated, "restarted with other options")
            watchdog = Watchdog(
                self._config.supervision,
                self._crew,
                self._runtime.bus_subscribe,
                lambda: self._traffic,
            )
            self._crew.background(watchdog.watch())
            self._crew.background(self._tell_what_is_lacking())
            self._crew.background(Sockets(self._runtime, self._crew, server).watch())
            asked = self._loop.create_task(self._stop_asked.wait())
            loss = self._loop.create_task(self._place.loss())
            ends: list[asyncio.Future[Any]] = [asked, loss, self._crew.failure]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._crew.failure.done():
                self._crew.failure.result()
            lost = loss.result() if loss.done() else None
            loss.cancel()
            await self._stop(lost)
            return lost
        finally:
            server.close()
            subscriber.close()
            if self._publisher is not None:
                self._publisher.close()

    def _callback_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None or isinstance(error, OSError):  # too many open files, for instance
            loop.default_exception_handler(context)
        else:
            self._crew.fail(error)

    def _bus_is_live(self) -> None:
        if self._publisher is None:
            # Made early: the bus loses what a publisher sends before the two are connected.
            try:
                self._publisher = Publisher(self._runtime.bus_publish)
            except NoMoreProcesses as error:
                log.warning("%s", error)
                self._loop.call_later(ROOM_S, self._bus_is_live)
                return
        self._crew.ready(self._crew.members[daemon_kinds.BUS])

    def _heard(self, message: Message) -> None:
        self._traffic = self._loop.time()
        if isinstance(message, OrchestratorStatus):
            self._orchestrators.heard(message, self._traffic)
            self._changes.notify()
        if isinstance(message, DaemonStatus):
            self._crew.heard(message)

    def _answer(self, request: AnyRequest) -> msgspec.Struct:
        match request:
            case StatusRequest():
                return self._status()
            case StopRequest(by=by):
                if not self._stop_asked.is_set():
                    self._stopped_by = by or self._stopped_by
                self._stop_asked.set()
                self._changes.notify()
                return Stopping()
        if self._stop_asked.is_set():
            raise RequestRefused("the workflow is being stopped")
        answer = self._requests.answer(request)
        self._changes.notify()
        return answer

    def _status(self) -> Status:
        now = self._loop.time()
        bus = self._crew.members[daemon_kinds.BUS]
        if bus.entry.state is State.READY:
            bus.detail = f"last message {now - self._traffic:.1f} s ago"
        return Status(
            workflow=str(self._config.path),
            supervisor=SupervisorInfo(
                pid=self._identity.pid,
                host=self._identity.host,
                state="stopping" if self._stop_asked.is_set() else self._crew.state,
                uptime_s=uptime_s(self._identity),
            ),
            daemons=self._crew.status(),
            orchestrators=self._orchestrators.status(now),
            at=time.time(),
        )

    def _signalled(self) -> None:
        if self._stop_asked.is_set() and not self._crew.hurry.done():
            self._crew.say(SUPERVISOR, "killing what is left")
            self._crew.hurry.set_result(None)
        self._stop_asked.set()
        self._changes.notify()

    async def _tell_what_is_lacking(self) -> None:
        """Tell the processes that wait for runs which daemons they need do not work."""
        nothing = last = Lacking()
        told_at = 0.0
        async for _ in self._changes.turns():
            word = nothing if self._stop_asked.is_set() else lacking(self._crew.members)
            now = self._loop.time()
            is_old = word == last and (word == nothing or now < told_at + TELL_S)
            if self._publisher is not None and not is_old:
                last, told_at = word, now
                self._publisher.send(word)

    def _interrupted(self) -> None:
        if self._adopts:
            # To undo the start would end daemons, and runs, that were there before.
            log.info("it goes on: it has taken over what was running")
            return
        self._stopped_by = "the command that was starting it"
        self._stop_asked.set()
        self._changes.notify()

    async def _stop(self, lost: Lost | None) -> None:
        settings = self._config.supervision
        # A workflow that was moved may be supervised again in its new place: leave its runs alone.
        leave = lost is not None and not lost.is_deleted
        if lost is not None:
            self._crew.detached.is_lost = True
            self._stopped_by = f"its supervisor, since {lost.why}"
            self._stop_asked.set()
        self._crew.say(
            SUPERVISOR, f"{lost.why}: stopping" if lost else f"stopping, by {self._stopped_by}"
        )
        if self._publisher is not None:
            word = DaemonStatus(SUPERVISOR, self._identity.pid, "stopping", self._stopped_by)
            self._publisher.send(word)
        await self._crew.stop_all(settings.leave_order if leave else settings.stop_order)
        if lost is None:
            self._crew.pausing.end()
