"""The executor of this host: starts runs in its slots, notices their ends, and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.batch import registry
from motoko.host.locks import NoLocks
from motoko.host.process_limits import spare_files
from motoko.runs.claims import LOOK_AGAIN_S, UnreadableRecord
from motoko.runs.ends import End
from motoko.runs.outputs import tail
from motoko.runs.sessions import kill, survivors
from motoko.runs.wrappers import Wrapper
from motoko.workers.launcher.ahead import Ahead
from motoko.workers.launcher.executor import Claimed, Ended, Event, HandedOver, Place, Unstarted
from motoko.workers.launcher.hindrances import Hindered, hindered
from motoko.workers.launcher.leftovers import LINGER_S, Leftovers
from motoko.workers.launcher.local_run import LocalRun
from motoko.workers.launcher.oom_kills import OomKills
from motoko.workers.launcher.preparing import Prepared
from motoko.workers.launcher.recovery import Situation
from motoko.workers.launcher.slots import Slots, release
from motoko.workers.launcher.spawner import Spawner
from motoko.workers.launcher.warm_pythons import WarmPythons

log = logging.getLogger(__name__)

KILL_GRACE_S = 3.0  # from SIGTERM to SIGKILL
UNUSED_S = 60.0  # for so long wrappers wait for another run, when none is executed
# Open files that a run needs besides its slots, and those reserved for everything else.
FILES_A_RUN = 4
RESERVED_FILES = 48
NO_FILES = "it may open no more files (see `ulimit -n`)"


@dataclass(frozen=True)
class LocalStart:
    """A wrapper that waits for the line that lets it go."""

    executor: LocalExecutor
    run: LocalRun

    def mark(self, entries: MutableMapping[str, Any]) -> None:
        """Nothing to do: a local run needs no further entries."""

    def begin(self) -> None:
        self.run.go(self.executor.oom_kills)
        self.executor.add(self.run)

    def abandon(self) -> None:
        self.run.abandon()


class LocalExecutor:
    """The slots of this host, as one launcher uses them: see ``executor.Executor``.

    Args:
        slots: the workflow's slots.
        report: called with the events of runs.
    """

    name = registry.LOCAL
    counts: Mapping[str, int] = {}

    def __init__(self, slots: Slots, report: Callable[[Event], None]) -> None:
        self.is_short = False
        self.trouble = ""
        self.ahead = Ahead(slots.count)
        self._slots = slots
        self._report = report
        self._runs: dict[int, LocalRun] = {}
        self._handed_over: dict[int, LocalRun] = {}
        self._leftovers = Leftovers(slots)
        self.oom_kills = OomKills()
        self._spawner = Spawner()
        self._pythons = WarmPythons()
        self._unused: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._runs) + len(self._handed_over)

    def __iter__(self) -> Iterator[int]:
        return iter([*self._runs, *self._handed_over])

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs or run_id in self._handed_over

    @property
    def detail(self) -> str:
        return self._leftovers.detail

    @property
    def widest(self) -> int:
        return self._slots.count

    @property
    def reach(self) -> int:
        """Runs that find room, the first one that does not, and those to prepare meanwhile."""
        return max(0, self._slots.count - len(self._runs)) + 1 + self.ahead.spare

    @property
    def is_ending(self) -> bool:
        return bool(self._runs)

    # Starting

    def room(self, widths: Sequence[int]) -> list[Place]:
        places: list[Place] = []
        if self.ahead.runs:
            self.is_short = True  # the prepared runs come first
            return places
        try:
            for width in widths:
                place = self._take(width, first=not places)
                if place is None:
                    break
                places.append(place)
        except Hindered:
            self.release(places)
            raise
        self.is_short = len(places) < len(widths)
        if not self.is_short:
            self._slots.give_up()
        return places

    def _take(self, width: int, *, first: bool) -> Place | None:
        """Slots for a run; ``None`` if there are too few, or too few files may still be opened."""
        if spare_files() < RESERVED_FILES + width + FILES_A_RUN:
            if first and not self._runs:
                raise Hindered(NO_FILES)
            self.trouble = NO_FILES  # until runs that end give files back
            return None
        self.trouble = ""
        try:
            return self._slots.take(width)
        except (OSError, NoLocks) as error:
            raise hindered(error) or error from error

    def release(self, places: Sequence[Place]) -> None:
        for place in places:
            release(place)

    def proceed(self) -> None:
        while self.ahead.runs:
            if len(self._runs) >= self._slots.count:  # no need to look: each run has a slot
                self.is_short = True
                return
            slots = self._take(1, first=True)
            self.is_short = slots is None
            if slots is None:
                return
            prepared = self.ahead.first
            try:
                run = LocalRun.start(prepared, slots, self._spawner, self._pythons)
            finally:
                release(slots)
            run.go(self.oom_kills)
            self.add(run)
            self.ahead.drop(prepared.run_id)

    def expect(self, *, more: bool, next_at: float) -> None:
        """Nothing to do: each run is started by itself."""

    def attend(self) -> None:
        if not self.ahead.runs:
            return
        watched = {run.watched: run for run in self._runs.values() if run.watched is not None}
        ends = select.poll()
        for descriptor in watched:
            ends.register(descriptor, select.POLLIN)
        for descriptor, _ in ends.poll(0):
            self._one_has_gone(watched[descriptor])
        with contextlib.suppress(Hindered):
            self.proceed()

    def start(self, prepared: Prepared, place: Place) -> LocalStart:
        run = LocalRun.start(prepared, place, self._spawner, self._pythons)
        return LocalStart(self, run)

    def adopt(self, situation: Situation) -> None:
        """Watch a run whose process lives, or end the processes that it has left."""
        if situation.is_handed_over:
            run = self._handed_over[situation.run_id] = LocalRun.adopt(situation)
            self._limit(run)
            self._report(HandedOver(situation.run_id))
        elif situation.process is not None:
            log.info("run %d: adopted (pid %d)", situation.run_id, situation.process.pid)
            self.add(LocalRun.adopt(situation))
        elif situation.wrapper is not None:
            self.sweep(situation.wrapper)

    def add(self, run: LocalRun) -> None:
        """Watch a run, and end it when it exceeds its time limit."""
        if self._unused is not None:
            self._unused.cancel()
        self._runs[run.run_id] = run
        self._limit(run)
        self._watch(run)

    def _limit(self, run: LocalRun) -> None:
        if run.timeout is not None:
            left = run.started + run.timeout - time.monotonic()
            text = f"it took longer than its time limit of {run.timeout:g} s"
            loop = asyncio.get_running_loop()
            run.timers.append(loop.call_later(max(0.0, left), self.end, run.run_id, text))

    # Ending

    def end(self, run_id: int, reason: str, *, final: bool = False) -> None:
        """End a run's processes: by SIGTERM first. A run that is only prepared ends at once."""
        if run_id in self.ahead.runs:
            self.ahead.drop(run_id)
            self._report(Ended(run_id, End(reason=reason, final=final)))
            return
        if run_id in self._handed_over:
            self.hand_back(run_id, reason, final=final)
            return
        if (run := self._runs.get(run_id)) is not None:
            self._end(run, reason, final=final)

    def _end(self, run: LocalRun, reason: str, *, final: bool) -> None:
        if run.reason:
            return
        log.info("run %d: ending it: %s", run.run_id, reason)
        run.reason, run.final = reason, final
        self._signal(run, signal.SIGTERM)
        loop = asyncio.get_running_loop()
        run.timers.append(loop.call_later(KILL_GRACE_S, self._signal, run, signal.SIGKILL))
        run.timers.append(loop.call_later(KILL_GRACE_S + LINGER_S, self._give_up, run))

    def _give_up(self, run: LocalRun) -> None:
        """End a run whose processes were killed and do not end: they will do nothing any more."""
        living = survivors(run.wrapper)
        wrapper = run.wrapper.process
        pids = ", ".join(str(process.pid) for process in living if process != wrapper)
        run.reason += f"; killed, but not gone: pid {pids or wrapper.pid}"
        run.is_given_up = True
        for process in living:
            kill(process, run.wrapper)
        self._leftovers.note_killed(living, patience=0.0)
        self._one_has_gone(run)

    def stop(self, reason: str) -> None:
        for run in list(self._runs.values()):
            run.interrupted = run.interrupted or not run.reason
            self._end(run, reason, final=True)

    @property
    def handed_over(self) -> list[int]:
        """Runs whose launch.sh has ended well, and whose final state other processes will set."""
        return list(self._handed_over)

    def hand_back(self, run_id: int, reason: str = "", *, final: bool = False) -> None:
        """End a run that was handed over: its final state is set, or it is not waited for."""
        run = self._handed_over.pop(run_id)
        for timer in run.timers:
            timer.cancel()
        self._report(Ended(run_id, End(0, reason, final=final, used=run.used)))

    def _signal(self, run: LocalRun, number: int) -> None:
        for member in survivors(run.wrapper):
            # The wrapper is spared: it has to record the exit.
            if member != run.wrapper.process:
                member.signal(number)

    # Noticing

    async def watch(self) -> None:
        """Nothing to do: the event loop notices the ends of runs."""

    def _watch(self, run: LocalRun) -> None:
        loop = asyncio.get_running_loop()
        if run.watched is None:
            loop.call_soon(self._one_has_gone, run)
        else:
            loop.add_reader(run.watched, self._one_has_gone, run)

    def _one_has_gone(self, run: LocalRun) -> None:
        if run.watched is not None:
            asyncio.get_running_loop().remove_reader(run.watched)
        try:
            if run.goes_on():
                self._watch(run)
                return
            code, reason = run.collect()
        except UnreadableRecord as error:
            if not run.unreadable:
                log.warning("run %d has ended: %s: trying again", run.run_id, error)
            run.unreadable = str(error)
            asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._one_has_gone, run)
            return
        del self._runs[run.run_id]
        if run.process is not None:
            run.process.rest()
            run.process = None
        if not self._runs:
            loop = asyncio.get_running_loop()
            self._unused = loop.call_later(UNUSED_S, self._dismiss_wrappers)
        self.sweep(run.wrapper)
        if run.may_hand_over and code == 0 and not reason:
            log.info("run %d: launch.sh has handed its work over", run.run_id)
            self._handed_over[run.run_id] = run
            self._report(HandedOver(run.run_id))
            return
        for timer in run.timers:
            timer.cancel()
        if run.is_claimed:
            self._report(Claimed(run.run_id))
            return
        if run.unstarted and not run.reason:
            self._report(Unstarted(run.run_id, run.unstarted))
            return
        self.ahead.has_taken(time.monotonic() - run.started)
        stderr = tail(run.directory / run.stderr)
        end = End(code, reason, stderr, final=run.final, interrupted=run.interrupted, used=run.used)
        self._report(Ended(run.run_id, end))

    def _dismiss_wrappers(self) -> None:
        """End the wrappers that wait: each holds some memory, those of warm runs ten megabytes."""
        self._spawner.dismiss()
        self._pythons.dismiss()

    def sweep(self, *wrappers: Wrapper) -> None:
        """In a moment, end the processes that are left of runs that have ended."""
        self._leftovers.sweep(*wrappers)

    def sweep_now(self) -> None:
        """End at once the processes that are left of runs that have ended."""
        self._leftovers.sweep_now()
