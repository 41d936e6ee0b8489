"""The supervisor's event loop: feeds the process table with what happens, does what it decides."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from motoko.bus.messages import ORCHESTRATOR, DaemonStatus, Message, OrchestratorStatus
from motoko.bus.publisher import Publisher
from motoko.bus.subscriber import Subscriber
from motoko.config import WorkflowConfig
from motoko.control import (
    STOP_ORDER,
    SUPERVISOR,
    StopGroup,
    living_daemons,
    tail,
    uptime_s,
)
from motoko.identity import Identity
from motoko.runtime import Runtime
from motoko.supervisor import daemons
from motoko.supervisor.child import Child, adopt, signal_name, spawn
from motoko.supervisor.daemons import Spec, may_start
from motoko.supervisor.member import Member
from motoko.supervisor.orchestrators import Orchestrators
from motoko.supervisor.probes import NoAnswer, figures, ping_zeo
from motoko.supervisor.report import Listener
from motoko.supervisor.server import serve
from motoko.supervisor.table import Do, Entry, State, overall
from motoko.supervisor.watchdog import Watchdog

log = logging.getLogger(__name__)

ZEO_START_POLL_S = 0.05
ZEO_ANSWER_S = 5.0
KILL_DEADLINE_S = 5.0


class Supervisor:
    """One workflow's supervisor. The caller holds its lock, and runs :meth:`run` once."""

    def __init__(
        self,
        config: WorkflowConfig,
        runtime: Runtime,
        listener: Listener,
        *,
        launchers: bool,
        slots: int | None,
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._members: dict[str, Member] = {}
        self._orchestrators = Orchestrators()
        self._to_stop: set[str] = set()  # asked for, but it is not their turn yet
        self._wanted_again: set[str] = set()  # while they are being stopped
        self._specs = daemons.base_daemons(config)
        living = {daemon.name for daemon in living_daemons(runtime)}
        for spec in daemons.launchers(config, slots):
            # Launchers that a predecessor started are ours, wanted or not.
            if launchers or spec.name in living:
                self._specs.append(spec)
        names = [spec.name for spec in daemons.base_daemons(config)]
        names += [spec.name for spec in daemons.launchers(config, slots)]
        self._width = max(len(name) for name in [*names, SUPERVISOR]) + 1
        self._identity = Identity.mine()
        self._traffic = 0.0
        self._announced_ready = False
        self._stop_asked = asyncio.Event()
        self._hurry: asyncio.Future[None] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._publisher: Publisher | None = None

    async def run(self) -> None:
        """Start or adopt all daemons, look after them, and stop them when asked to."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled)
        # Losing the terminal must not end the workflow. (Daemons would inherit SIG_IGN.)
        self._loop.add_signal_handler(signal.SIGHUP, log.info, "the terminal has gone")
        subscriber = Subscriber(self._runtime.bus_subscribe, self._heard, self._bus_is_live)
        subscriber.subscribe(b"daemon.", ORCHESTRATOR.encode())
        server = await serve(self._runtime.control, self._answer)
        try:
            for spec in self._specs:
                self._add(spec)
            self._advance()
            watchdog = Watchdog(
                self._members, self._runtime.bus_subscribe, lambda: self._traffic, self._hung
            )
            self._background(watchdog.watch())
            await self._stop_asked.wait()
            for task in self._tasks:
                task.cancel()
            await self._stop()
        finally:
            server.close()
            subscriber.close()
            if self._publisher is not None:
                self._publisher.close()

    # Starting

    def _add(self, spec: Spec, restarts: int = 0) -> None:
        entry = Entry(spec.name, restarts=restarts)
        member = Member(spec, entry, socket=self._zeo_socket(spec))
        self._members[spec.name] = member
        self._adopt(member)

    def _zeo_socket(self, spec: Spec) -> Path | None:
        return self._runtime.zeo(spec.study) if spec.kind == "zeo" and spec.study else None

    def _advance(self) -> None:
        """Start the daemons that have waited for others until now."""
        if self._stop_asked.is_set():
            return
        for member in self._members.values():
            states = {name: other.entry.state for name, other in self._members.items()}
            if member.entry.waiting and may_start(member.spec, states):
                self._start(member)

    def _start(self, member: Member) -> None:
        # Its record may name one that a predecessor started without having seen it get ready.
        if self._adopt(member):
            return
        try:
            child = spawn(member.spec, self._runtime, partial(self._died, member))
        except OSError as error:
            self._died(member, f"could not be started: {error}")
            return
        self._began(member, child, adopted=False)

    def _adopt(self, member: Member) -> bool:
        for daemon in living_daemons(self._runtime):
            if daemon.name == member.name:
                child = adopt(daemon.identity, partial(self._died, member))
                if child is not None:
                    self._say(member.name, f"adopted (pid {daemon.identity.pid})")
                    self._began(member, child, adopted=True)
                    return True
        return False

    def _began(self, member: Member, child: Child, *, adopted: bool) -> None:
        member.child = child
        member.entry.spawned(self._loop.time(), child.identity.pid, adopted=adopted)
        self._set_timer(member)
        if member.socket is not None:
            self._background(self._await_server(member, member.socket, child))

    # What happens

    async def _await_server(self, member: Member, socket: Path, child: Child) -> None:
        while member.child is child and member.entry.state is State.STARTING:
            try:
                member.detail = figures(await ping_zeo(socket, ZEO_ANSWER_S))
            except NoAnswer:
                await asyncio.sleep(ZEO_START_POLL_S)
            else:
                if member.child is child:
                    self._ready(member)

    def _bus_is_live(self) -> None:
        if self._publisher is None:
            # Made early: what a new publisher sends before the bus has noticed it is lost.
            self._publisher = Publisher(self._runtime.bus_publish)
        self._ready(self._members["bus"])

    def _heard(self, message: Message) -> None:
        now = self._traffic = self._loop.time()
        if isinstance(message, OrchestratorStatus):
            self._orchestrators.heard(message, now)
        if not isinstance(message, DaemonStatus):
            return
        member = self._members.get(message.name)
        if member is None or member.entry.pid != message.pid:
            return  # one of another life
        member.heard, member.detail, member.counts = now, message.detail, message.counts
        if member.entry.state is not State.STARTING or not member.beats:
            return
        if message.state == "ready":
            self._ready(member)
        else:
            member.entry.sign_of_life(now)
            self._set_timer(member)

    def _ready(self, member: Member) -> None:
        now = self._loop.time()
        if not member.entry.became_ready(now):
            return
        member.heard = now
        self._set_timer(member)
        self._say(member.name, f"ready (pid {member.entry.pid})")
        self._advance()
        if not self._announced_ready and self._state() == "ready":
            self._announced_ready = True
            self._say(SUPERVISOR, f"ready (pid {self._identity.pid})")
            self._listener.ready()

    def _hung(self, member: Member, reason: str) -> None:
        self._do(member, member.entry.hung(reason))

    def _tick(self, member: Member) -> None:
        self._do(member, member.entry.tick(self._loop.time()))

    def _died(self, member: Member, how: str) -> None:
        entry = member.entry
        member.child, member.detail = None, ""
        asked = entry.state is State.STOPPING
        do = entry.died(self._loop.time(), how)
        if asked:
            self._say(member.name, "stopped")
            if member.name in self._wanted_again:
                self._begin_again(member)
                self._advance()
        elif do is Do.SPAWN:
            self._say(member.name, f"{entry.last_exit}, restarting")
        elif entry.wake_at is not None:
            delay = entry.wake_at - self._loop.time()
            self._say(member.name, f"{entry.last_exit}, restarting in {delay:.1f} s")
        self._do(member, do)

    def _do(self, member: Member, do: Do) -> None:
        match do:
            case Do.SPAWN:
                self._start(member)
            case Do.KILL if member.child is not None:
                member.child.signal(signal.SIGKILL)
            case Do.GIVE_UP:
                self._gave_up(member)
        self._set_timer(member)

    def _gave_up(self, member: Member) -> None:
        entry, path = member.entry, self._runtime.log(member.name)
        text = (
            f"given up after {entry.policy.attempts} attempts ({entry.last_exit}); "
            f"the end of {path}:\n{tail(path)}"
        )
        log.error("%s %s", member.name, text)
        self._listener.failed(f"{member.name} {text}")
        self._advance()

    def _set_timer(self, member: Member) -> None:
        if member.timer is not None:
            member.timer.cancel()
            member.timer = None
        if member.entry.wake_at is not None:
            member.timer = self._loop.call_at(member.entry.wake_at, self._tick, member)

    # The control socket

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["command"]:
            case "status":
                return self._status()
            case "add_launchers":
                return self._add_launchers(request.get("slots"), request.get("studies"))
            case "retry_failed":
                return self._retry_failed()
            case "stop_daemons":
                return self._stop_daemons(request.get("names"))
            case "stop":
                self._stop_asked.set()
                return {"stopping": True}
            case unknown:
                return {"error": f"unknown command: {unknown}"}

    def _state(self) -> str:
        if self._stop_asked.is_set():
            return "stopping"
        return overall(member.entry for member in self._members.values())

    def _status(self) -> dict[str, Any]:
        return {
            "workflow": str(self._config.path),
            "supervisor": {
                "pid": self._identity.pid,
                "host": self._identity.host,
                "state": self._state(),
                "uptime_s": uptime_s(self._identity),
            },
            "daemons": [member.status(self._runtime) for member in self._members.values()],
            "orchestrators": self._orchestrators.status(self._loop.time()),
        }

    def _add_launchers(self, slots: Any, studies: Any) -> dict[str, Any]:
        """Add the launchers of some studies, or of all, and start again what they need."""
        if slots is not None and (isinstance(slots, bool) or not isinstance(slots, int)):
            return {"error": f"slots has to be a whole number: {slots!r}"}
        if studies is not None and not _are_strings(studies):
            return {"error": f"studies has to be a list of names: {studies!r}"}
        if self._stop_asked.is_set():
            return {"error": "the workflow is being stopped"}
        wanted = [
            spec
            for spec in daemons.launchers(self._config, slots)
            if studies is None or spec.study in studies
        ]
        lacking = [spec for spec in wanted if spec.name not in self._members]
        for spec in lacking:
            self._add(spec)
        started = [spec.name for spec in lacking]
        for spec in wanted:
            if slots is not None and self._members[spec.name].entry.state is State.STOPPED:
                self._members[spec.name].spec = spec
            started += self._want([spec.name, f"zeo:{spec.study}", "bus", "watcher"])
        self._advance()
        return {"added": started}

    def _retry_failed(self) -> dict[str, Any]:
        """Start again what was given up or stopped; launchers that were stopped are forgotten."""
        if self._stop_asked.is_set():
            return {"retried": []}
        failed = [m for m in self._members.values() if m.entry.state is State.FAILED]
        for member in failed:
            self._do(member, member.entry.retry())
        for member in list(self._members.values()):
            if member.spec.kind == "launcher" and member.entry.state is State.STOPPED:
                del self._members[member.name]
        others = [m.name for m in self._members.values() if m.spec.kind != "launcher"]
        started = self._want(others)
        self._advance()
        return {"retried": [*(member.name for member in failed), *started]}

    def _want(self, names: Sequence[str]) -> list[str]:
        """Start daemons again that were stopped, or as soon as they have; returns which."""
        started = []
        self._to_stop.difference_update(names)
        for name in names:
            member = self._members[name]
            if member.entry.state is State.STOPPED:
                self._begin_again(member)
            elif member.entry.state is State.STOPPING:
                self._wanted_again.add(name)
            else:
                continue
            started.append(name)
        return started

    def _begin_again(self, member: Member) -> None:
        self._wanted_again.discard(member.name)
        self._add(member.spec, restarts=member.entry.restarts)

    def _stop_daemons(self, names: Any) -> dict[str, Any]:
        if not _are_strings(names):
            return {"error": f"names has to be a list of daemons' names: {names!r}"}
        if unknown := [name for name in names if name not in self._members]:
            return {"error": f"there is no daemon {', '.join(unknown)}"}
        if self._stop_asked.is_set():
            return {"error": "the workflow is being stopped"}
        self._wanted_again.difference_update(names)
        self._to_stop.update(names)
        self._background(self._stop_asked_for())
        return {"stopping": names}

    # Stopping

    def _signalled(self) -> None:
        if self._stop_asked.is_set() and not self._hurry.done():
            self._say(SUPERVISOR, "killing what is left")
            self._hurry.set_result(None)
        self._stop_asked.set()

    async def _stop(self) -> None:
        self._say(SUPERVISOR, "stopping")
        if self._publisher is not None:
            self._publisher.send(DaemonStatus(SUPERVISOR, self._identity.pid, "stopping"))
        for group in STOP_ORDER:
            # One group after the other: until it is its turn, a daemon is still looked after.
            await self._stop_group(group)

    async def _stop_group(self, group: StopGroup) -> None:
        members = [m for m in self._members.values() if m.spec.kind == group.kind]
        await self._end(group, members, self._strangers(group.kind))

    async def _stop_asked_for(self) -> None:
        for group in STOP_ORDER:
            turn = [n for n in self._to_stop if self._members[n].spec.kind == group.kind]
            self._to_stop.difference_update(turn)
            await self._end(group, [self._members[name] for name in turn])

    async def _end(
        self,
        group: StopGroup,
        members: Sequence[Member],
        others: Sequence[tuple[str, Child]] = (),
    ) -> None:
        for member in members:
            member.entry.stop()
            self._set_timer(member)
        children = [(m.name, m.child) for m in members if m.child is not None]
        children += others
        for name, child in children:
            log.info("%s: %s to pid %d", name, signal_name(group.signal), child.identity.pid)
            child.signal(group.signal)
        await _all_ended(children, group.deadline, self._hurry)
        left = [(name, child) for name, child in children if not child.ended.done()]
        for name, child in left:
            self._say(name, "does not end, killing it")
            child.signal(signal.SIGKILL)
        await _all_ended(left, KILL_DEADLINE_S)

    def _strangers(self, kind: str) -> list[tuple[str, Child]]:
        """Living daemons that are none of ours: of a study that is in motoko.yaml no more."""
        return [
            (daemon.name, child)
            for daemon in living_daemons(self._runtime)
            if daemon.kind == kind and daemon.name not in self._members
            if (child := adopt(daemon.identity, partial(self._say, daemon.name)))
        ]

    # Helpers

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the supervisor has failed", exc_info=error)

    def _say(self, name: str, text: str) -> None:
        log.info("%s %s", name, text)
        self._listener.line(f"{name:<{self._width}} {text}")


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


async def _all_ended(
    children: list[tuple[str, Child]], timeout: float, hurry: asyncio.Future[None] | None = None
) -> None:
    """Wait until all children have ended, until there is a hurry, or for ``timeout`` seconds."""
    if children:
        events: list[asyncio.Future[Any]] = [
            asyncio.gather(*(child.ended for _, child in children))
        ]
        if hurry is not None:
            events.append(hurry)
        await asyncio.wait(events, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
