"""All daemons of a workflow: started in order, looked after, restarted, and ended in order.

The crew tells the process table what happens, and does what the table decides.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from motoko.bus.messages import DaemonStatus
from motoko.config import WorkflowConfig
from motoko.config.supervision import StopGroup
from motoko.control.daemon_records import EXIT_LOCKED, SUPERVISOR, living_daemons
from motoko.control.protocol import DaemonInfo
from motoko.host.identity import Identity
from motoko.host.log_reading import tail
from motoko.host.process_limits import NO_ROOM
from motoko.layout import Runtime
from motoko.supervisor.announcements import Announcements
from motoko.supervisor.child import Child, adopt, spawn
from motoko.supervisor.daemon_specs import Spec, may_start
from motoko.supervisor.detached_members import Detached
from motoko.supervisor.ending import end
from motoko.supervisor.happenings import Happening, Occasion
from motoko.supervisor.listeners import Listener
from motoko.supervisor.member import Member
from motoko.supervisor.pausing import Pausing
from motoko.supervisor.readiness import Readiness
from motoko.supervisor.restarts import Restarts
from motoko.supervisor.status_changes import StatusChanges
from motoko.supervisor.table import Decision, Entry, Policy, State, overall


class Crew:
    """The daemons of one workflow, in a running event loop.

    Attributes:
        members: all daemons, by name.
        hurry: once this future is done, the daemons that are being ended are killed.
    """

    def __init__(
        self,
        config: WorkflowConfig,
        runtime: Runtime,
        listener: Listener,
        width: int,
        changes: StatusChanges,
    ) -> None:
        self.members: dict[str, Member] = {}
        self._settings = config.supervision
        self._policy = Policy.of(config.supervision)
        self.detached = Detached(config, runtime)
        self._runtime = runtime
        self._listener = listener
        self._announcements = Announcements(config, listener, width)
        self.say = self._announcements.say
        self._changes = changes
        self._loop = asyncio.get_running_loop()
        self.hurry: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._announced_ready = False
        # Daemons that will be stopped when it is their turn: by name, the request for it.
        self._to_stop: dict[str, object] = {}
        # Daemons to be started once they have ended: by name, how many restarts that counts as.
        self._wanted_again: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._restarts = Restarts(runtime)
        self._readiness = Readiness(runtime, self.detached, self._policy.readiness, self.ready)
        self.pausing = Pausing(runtime, self.members)
        # Gets the exception that ends the supervisor: of a task, or of a callback.
        self.failure: asyncio.Future[None] = self._loop.create_future()

    @property
    def state(self) -> str:
        """The state of the workflow."""
        return (
            "stopping"
            if self._closing
            else overall(m.entry for m in self.members.values() if not m.spec.is_requested)
        )

    # Starting

    def add(self, spec: Spec) -> None:
        """Add a daemon: adopt it if it runs, else start it once what it depends on is ready."""
        member = Member.of(spec, self._runtime, self._policy)
        self.members[spec.name] = member
        adopted = self._adopt(member)
        member.entry.restarts = self._restarts.at_start(spec.name, adopted=adopted)

    def advance(self) -> None:
        """Start the daemons whose dependencies have become ready."""
        if self._closing:
            return
        for member in self.members.values():
            states = {
                # What depends on a daemon that is about to be stopped waits for its successor.
                name: State.STOPPING if name in self._to_stop else other.entry.state
                for name, other in self.members.items()
            }
            if member.entry.waiting and may_start(member.spec, states):
                self._start(member)

    def want(self, names: Sequence[str]) -> list[str]:
        """Start daemons again that were stopped or given up, now or as soon as they have ended.

        Returns those that were not running, or were about to be stopped.
        """
        started = []
        for name in names:
            member = self.members[name]
            if name in self._wanted_again:
                continue  # it is being restarted
            spared = self._to_stop.pop(name, None) is not None
            match member.entry.state:
                case State.STOPPED | State.ENDED:
                    self._begin_again(member)
                case State.STOPPING:
                    self._wanted_again[name] = 0
                case State.FAILED:
                    self._carry_out(member, member.entry.retry())
                case _ if not spared:
                    continue
            started.append(name)
        self.advance()
        return started

    def forget(self, name: str) -> None:
        """Drop a daemon that was stopped, has ended or was given up."""
        assert self.members[name].entry.over
        self._to_stop.pop(name, None)
        self._wanted_again.pop(name, None)
        del self.members[name]

    def _begin_again(self, member: Member) -> None:
        past = member.entry
        restarts = past.restarts + self._wanted_again.pop(member.name, 0)
        member.entry = Entry(member.name, past.policy, restarts=restarts, last_exit=past.last_exit)
        self._restarts.died(member.name, restarts, None)
        self._adopt(member)

    def _start(self, member: Member) -> None:
        # The record may name a process that an earlier supervisor started just before its end.
        if self._adopt(member):
            return
        try:
            if member.spec.is_requested:
                self.detached.before_start(member.spec)
            child = spawn(member.spec, self._runtime, self._settings, partial(self._died, member))
        except OSError as error:
            self._died(member, f"could not be started: {error}", unstarted=True)
            return
        self._began(member, child, adopted=False)

    def _adopt(self, member: Member) -> bool:
        for daemon in living_daemons(self._runtime):
            if daemon.name == member.name:
                child = adopt(daemon.identity, partial(self._died, member))
                if child is not None:
                    self.say(member.name, "adopted", pid=daemon.identity.pid)
                    self._began(member, child, adopted=True)
                    return True
        return False

    def _began(self, member: Member, child: Child, *, adopted: bool) -> None:
        member.child = child
        member.entry.spawned(self._loop.time(), child.identity.pid, adopted=adopted)
        self._set_timer(member)
        self._changes.notify()
        awaited = self._readiness.awaited(member, child, adopted=adopted)
        if awaited is not None:
            self.background(awaited)

    # What happens

    def heard(self, message: DaemonStatus) -> None:
        """A daemon has sent its status."""
        now = self._loop.time()
        member = self.members.get(message.name)
        if member is None or member.entry.pid != message.pid:
            return  # from an earlier process of this daemon
        known = member.detail, member.counts, member.trouble
        if known != (message.detail, message.counts, message.trouble):
            self._changes.notify()
        member.heard, member.detail, member.counts = now, message.detail, message.counts
        member.trouble = message.trouble
        if member.entry.state is State.STARTING and member.beats:
            if message.state == "ready":
                self.ready(member)
            else:
                member.entry.sign_of_life(now)
                self._set_timer(member)
        self.pausing.look(member)

    def ready(self, member: Member) -> None:
        """A daemon has passed its readiness check."""
        now = self._loop.time()
        if not member.entry.became_ready(now):
            return
        member.heard = now
        self._set_timer(member)
        self._changes.notify()
        self.say(member.name, member.readiness, pid=member.entry.pid)
        self.advance()
        if not self._announced_ready and self.state == "ready":
            self._announced_ready = True
            self.say(SUPERVISOR, "ready", pid=Identity.mine().pid)
            self._listener.ready()
            self._notify(Occasion.READY, SUPERVISOR, "ready")

    def too_big(self, member: Member, reason: str) -> None:
        """A daemon uses too much memory: restart it."""
        self.replace(member, reason)

    def replace(self, member: Member, reason: str) -> None:
        """Restart a daemon that works, for a reason."""
        self.say(member.name, f"{reason}, restarting")
        self.restart([member.name], f"{reason}, restarted")

    def hung(self, member: Member, reason: str) -> None:
        """A daemon is alive but does not work: kill it."""
        self._carry_out(member, member.entry.hung(reason))

    def _tick(self, member: Member) -> None:
        self._carry_out(member, member.entry.tick(self._loop.time()))

    def _died(self, member: Member, how: str, *, unstarted: bool = False) -> None:
        entry, child, final = member.entry, member.child, False
        pid = child.identity.pid if child is not None else None
        member.child, member.detail = None, ""
        asked, is_double = entry.state is State.STOPPING, False
        if member.spec.is_requested and child is not None:
            how, final = self.detached.has_ended(member.spec, child, how)
        else:
            # A process that an earlier supervisor started has the lock: it will be adopted.
            is_double = how == f"exited with {EXIT_LOCKED}"
        now, unstarted = self._loop.time(), unstarted or how == NO_ROOM
        decision = entry.died(now, how, final=final, is_double=is_double, unstarted=unstarted)
        self._restarts.died(member.name, entry.restarts, None if is_double else pid)
        if self._restarts.problem:  # most likely the cause of death: it could not log that itself
            entry.last_exit = f"{entry.last_exit}; {self._restarts.problem}"
        if asked:
            self.say(member.name, "stopped")
            if member.name in self._wanted_again:
                self._begin_again(member)
                self.advance()
        elif entry.state is State.ENDED:
            self.say(member.name, str(entry.last_exit))
            self._notify(Occasion.ENDED, member.name, str(entry.last_exit))
        elif decision is Decision.SPAWN:
            self.say(member.name, f"{entry.last_exit}, restarting", restarts=entry.restarts)
        elif entry.wake_at is not None:
            delay = entry.wake_at - self._loop.time()
            text = f"{entry.last_exit}, restarting in {delay:.1f} s"
            self.say(member.name, text, restarts=entry.restarts)
        self._carry_out(member, decision)

    def _carry_out(self, member: Member, decision: Decision) -> None:
        match decision:
            case Decision.SPAWN:
                self._start(member)
            case Decision.KILL if member.child is not None:
                member.child.signal(signal.SIGKILL)
            case Decision.GIVE_UP:
                self._gave_up(member)
        self._set_timer(member)
        self._changes.notify()

    def _gave_up(self, member: Member) -> None:
        entry, path = member.entry, self._runtime.log(member.name)
        text = (
            f"given up after {entry.policy.attempts} attempts ({entry.last_exit}); "
            f"the end of {path}:\n{tail(path)}"
        )
        self._notify(Occasion.GIVEN_UP, member.name, text)
        # A lost orchestrator is no failure of the start: all base daemons may still be ready.
        tell = self._listener.line if member.spec.is_requested else self._listener.failed
        tell(f"{member.name} {text}")
        self.advance()

    def _set_timer(self, member: Member) -> None:
        if member.timer is not None:
            member.timer.cancel()
            member.timer = None
        if member.entry.wake_at is not None:
            member.timer = self._loop.call_at(member.entry.wake_at, self._tick, member)

    # Ending

    def stop(self, names: Sequence[str], order: Sequence[StopGroup], reason: str) -> None:
        """End some daemons for good, in the given order; returns at once."""
        for name in names:
            self._wanted_again.pop(name, None)
        self._end_soon(names, order, reason)

    def restart(self, names: Sequence[str], reason: str) -> None:
        """End some daemons and start them again; returns at once. Runs are not ended."""
        living = [name for name in names if self.members[name].child is not None]
        for member in (self.members[name] for name in names if name not in living):
            member.entry.stop()
            self._set_timer(member)
            self._begin_again(member)
        self._wanted_again.update(dict.fromkeys(living, 1))
        self._end_soon(living, self._settings.leave_order, reason)
        self.advance()

    async def stop_all(self, order: Sequence[StopGroup]) -> None:
        """End all daemons, also those of studies that are no longer in motoko.yaml."""
        self._closing = True
        self._notify(Occasion.STOPPING, SUPERVISOR, "stopping")
        self._to_stop.clear()
        self._wanted_again.clear()
        for task in self._tasks:
            task.cancel()
        for group in order:
            # Group by group: a daemon is still looked after until it is its group's turn.
            members = [m for m in self.members.values() if m.spec.kind == group.kind]
            await self._end(group, members, None, self._strangers(group.kind))

    def _end_soon(self, names: Sequence[str], order: Sequence[StopGroup], reason: str) -> None:
        request = object()
        self._to_stop.update(dict.fromkeys(names, request))
        self.background(self._end_in_order(request, order, reason))

    async def _end_in_order(self, request: object, order: Sequence[StopGroup], reason: str) -> None:
        for group in order:
            turn = [
                self.members[name]
                for name, asked in self._to_stop.items()
                if asked is request and self.members[name].spec.kind == group.kind
            ]
            for member in turn:
                del self._to_stop[member.name]
            await self._end(group, turn, reason)

    async def _end(
        self,
        group: StopGroup,
        members: Sequence[Member],
        reason: str | None,
        others: Sequence[tuple[str, Child]] = (),
    ) -> None:
        for member in members:
            member.entry.stop(reason)
            self._set_timer(member)
            if member.spec.is_requested and member.name not in self._wanted_again:
                self.detached.stopped(member.spec)
            if member.child is None and member.name in self._wanted_again:
                self._begin_again(member)
        self._changes.notify()
        self.advance()
        children = [(m.name, m.child) for m in members if m.child is not None]
        await end(group, [*children, *others], self.hurry, self.say)

    def _strangers(self, kind: str) -> list[tuple[str, Child]]:
        """Living daemons that are not members: those of studies no longer in motoko.yaml."""
        return [
            (daemon.name, child)
            for daemon in living_daemons(self._runtime)
            if daemon.kind == kind and daemon.name not in self.members
            if (child := adopt(daemon.identity, partial(self.say, daemon.name)))
        ]

    # Helpers

    def status(self) -> list[DaemonInfo]:
        """All daemons, as the control socket's status shows them."""
        return [member.status(self._runtime) for member in self.members.values()]

    def _notify(
        self, occasion: Occasion, subject: str, text: str, error: BaseException | None = None
    ) -> None:
        self._announcements.notify(Happening(occasion, subject, text, error))

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work in a task, which is cancelled when all daemons are stopped."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the supervisor: it has a bug, so nothing it does can be relied on any more.

        The daemons go on; the next supervisor adopts them.
        """
        self._notify(Occasion.FAILED, SUPERVISOR, "has failed: a fault of its own", error)
        if not self.failure.done():
            self.failure.set_exception(error)
            self.failure.exception()  # it is logged
