"""The launcher of a study: starts its CREATED runs as soon as the bus announces them.

It is woken by the bus, by the end of a run, and by slots that other launchers give back. Each pass
commits the ends of runs and the starts of others together, and starts the processes afterwards.
Short runs are prepared ahead of their slots. A launcher that is killed loses nothing: the next one
finds the claims and the exit records in the run directories.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import signal
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from motoko.batch.registry import UnknownSystem
from motoko.bus.dispatcher import Dispatcher
from motoko.bus.messages import Message, SlotsFreed
from motoko.bus.publisher import Publisher
from motoko.bus.waiters import Interest, Waiter
from motoko.control.launcher_pauses import is_paused
from motoko.host.clock import HEARTBEAT_S, until_next
from motoko.host.cpus import usable_cpus
from motoko.host.machine_troubles import described
from motoko.operations.relocating import relocate
from motoko.runs.claims import LOOK_AGAIN_S
from motoko.runs.ends import RETRY_PAUSE_MAX_S, STOPPED
from motoko.runs.entries import OwnEntries
from motoko.runs.foreign_processes import ForeignProcesses
from motoko.runs.paths import runs_directory
from motoko.runs.sessions import left_in
from motoko.runs.states import (
    CREATED,
    FINISHED,
    RUNNING_STATES,
    TOBELAUNCHED,
)
from motoko.store.base import StudyBase, connect
from motoko.store.blackdynamite_daemons import LAUNCHER as FOREIGN_LAUNCHER
from motoko.store.blackdynamite_daemons import foreign_daemons
from motoko.store.transactions import atomically
from motoko.workers.daemon import Daemon
from motoko.workers.launcher.executor import Changed, Claimed, Ended, Event, Unstarted
from motoko.workers.launcher.executors import Executors
from motoko.workers.launcher.heeding import Heeding
from motoko.workers.launcher.hindrances import Rivals
from motoko.workers.launcher.local_executor import KILL_GRACE_S
from motoko.workers.launcher.new_runs import NewRuns
from motoko.workers.launcher.overseeing import overseen
from motoko.workers.launcher.own_status import OwnStatus
from motoko.workers.launcher.passes import NEWS_AT_ONCE, Passes
from motoko.workers.launcher.recovery import Situation, examine
from motoko.workers.launcher.slots import Slots
from motoko.workers.launcher.wake_filter import WakeFilter

log = logging.getLogger(__name__)

BUS_DEADLINE_S = 5.0
LOOK_AT = 500  # runs at a time
# Few are kept in memory: a run's objects are needed a few times until it has ended, then no more.
CACHE_OBJECTS = 1_000
# The signals to the launcher: blocked from its first moment until it can act on them.
SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
END_DEADLINE_S = KILL_GRACE_S + 5.0  # for all runs to end, when told to end them


class Launcher:
    """The launcher of one study."""

    def __init__(
        self,
        daemon: Daemon,
        study: str,
        slots: int | None,
        publisher: Publisher,
        generator: str | None = None,
    ) -> None:
        self.study = daemon.config.studies[study]
        self.name = daemon.name
        self._runtime = daemon.runtime
        self._publisher = publisher
        self._base: StudyBase = connect(
            self.study, daemon.runtime, cache_objects=CACHE_OBJECTS, threadless=True
        )
        self._base.keep_containers()
        relocate(self._base)
        self._slots = Slots(
            daemon.runtime.wf / "locks" / "slots", slots or daemon.config.slots or usable_cpus()
        )
        self._executors = Executors(daemon, self.study, self._slots, generator, self._on_event)
        transaction = partial(atomically, self._base)
        self._passes = Passes(self._base, self._executors.chosen, transaction)
        self._status = OwnStatus(
            publisher, self.name, self._slots.count, self._passes, self._executors
        )
        self._passes.preparer.between = self._status.report_now_and_then
        foreign = foreign_daemons(daemon.config, [self.study])
        rivals = [daemon for daemon in foreign if daemon.kind == FOREIGN_LAUNCHER]
        self._passes.rivals = Rivals(rivals, self._read_again)
        self._is_alone = len(daemon.config.studies) == 1  # no other launcher shares the slots
        self._agenda = self._passes.agenda
        # Runs whose situation cannot be found out now, and why; and when to look at them again.
        self._unknown: dict[int, str] = {}
        self._look_again_at = math.inf
        self._heeding = Heeding(self._base, self._executors, self._passes.preparer.between)
        self._new_runs = NewRuns(self._base, self._wake)
        self._wake_filter = WakeFilter(self._executors, self._new_runs)
        self._stopping = False
        self._waiter: Waiter | None = None
        self._dispatcher: Dispatcher | None = None

    async def run(self) -> None:
        """Launch until told to stop. Signals that came earlier take effect now."""
        loop = asyncio.get_running_loop()
        self._base.db.storage.join(loop)
        loop.add_signal_handler(signal.SIGUSR1, self._stop)
        loop.add_signal_handler(signal.SIGUSR2, self._look_at_pauses)
        self._passes.paused = is_paused(self._runtime, self.study.name)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        await overseen(self._launch(), self._heartbeat())

    async def _launch(self) -> None:
        dispatcher = Dispatcher(
            self._runtime,
            [self.study.name],
            lambda study: self._base.tid,
            topics=[b"slots."],
            on_other=self._on_other,
        )
        self._dispatcher, self._status.woken = dispatcher, dispatcher.counters
        with dispatcher.waiting(
            Interest(studies=[self.study.name], accepts=self._wake_filter.accepts)
        ) as waiter:
            self._waiter = waiter
            await dispatcher.live()
            await atomically(self._base, self._new_runs.begin)
            await self._look_at_everything()
            self._end_what_is_left()
            self._executors.watch()
            self._status.is_ready = self._wake_filter.is_ready = True
            log.info("ready: %d slots, %d waiting", self._slots.count, len(self._agenda.waiting))
            self._status.report()
            while not self._stopping:
                await self._step()
                news = await waiter.wait(self._pause())
                at_once = any(self._executors.is_ahead(change.run_id) for change in news)
                await self._heeding.look_if_due(self._tid(), at_once=at_once)
                if (tid := self._new_runs.due) is not None:
                    for number in await atomically(self._base, self._new_runs.take, tid):
                        self._agenda.waiting.add(number)
                for change in news:
                    if self._new_runs.has(change):
                        continue
                    if change.new == CREATED:
                        self._agenda.waiting.add(change.run_id)
                        self._passes.hints.update(bytes.fromhex(oid) for oid in change.oids)
                    elif change.old == CREATED and change.new not in RUNNING_STATES:
                        self._agenda.waiting.remove(change.run_id)  # cancelled, or deleted
                        if change.new == TOBELAUNCHED:  # BlackDynamite starts it
                            self._unknown.setdefault(change.run_id, "")
                            self._look_again_at = time.monotonic() + LOOK_AGAIN_S
                    elif change.new == FINISHED and self._executors.of(change.run_id) is not None:
                        self._agenda.finished.add(change.run_id)
                news.clear()  # else they stay in memory until there are others
                if waiter.read_again:
                    waiter.read_again = False
                    self._new_runs.forget()
                    await self._look_at_everything()
                if self._look_again_at <= time.monotonic():
                    await self._look_again()
            self._executors.leave()
            await self._end_all()
        dispatcher.close()

    async def _look_at_everything(self) -> None:
        """Find the runs to be started, adopted or settled: at the start, or after a gap.

        The first runs are started, and heartbeats go out, before the last ones are looked at.
        """
        after: int | None = -1
        while after is not None:
            situations, after = await atomically(self._base, partial(self._look, after))
            self._take_up(situations)
            if self._stopping:
                self._stop_all()  # runs that are adopted now must end as well
            else:
                await self._step()
            await asyncio.sleep(0)

    def _look(self, after: int) -> tuple[dict[int, Situation], int | None]:
        """The situations of the next runs after a number, and the last number, if there is one."""
        some = itertools.islice(self._base.runs.entries.items(after, excludemin=True), LOOK_AT)
        runs = dict(self._base.loaded(some))
        return self._examined(runs), max(runs, default=None)

    def _examined(self, runs: Mapping[int, Any]) -> dict[int, Situation]:
        """The situations of those runs with which there is something to do, by id."""
        known = {*self._executors.runs, *self._agenda.news.ended}
        examined: dict[int, Situation] = {}
        foreign, workflow = ForeignProcesses(), self._runtime.directory
        for number, run in runs.items():
            entries, preparer = run.entries, self._passes.preparer
            if number in known:
                continue
            preparer.repair(number, entries)
            if not preparer.is_ours(entries):
                continue
            if (situation := examine(entries, preparer.policy, foreign, workflow)) is None:
                continue
            examined[number] = situation
            if situation.reset is not None:
                OwnEntries(entries).update({"batch_name": None})
        return examined

    def _end_what_is_left(self) -> None:
        """End processes left by runs that ended while no launcher was there to clean up."""
        if not self._unknown:  # such runs may still go on
            self._executors.local.sweep(*left_in(runs_directory(self.study)))

    async def _look_again(self) -> None:
        """Look again at the runs whose situation could not be found out."""
        numbers = [*self._unknown]

        def look() -> dict[int, Situation]:
            runs = self._base.loaded((n, self._base.runs.entries.get(n)) for n in numbers)
            return self._examined({number: run for number, run in runs if run is not None})

        examined = await atomically(self._base, look)
        for number in numbers:
            if number not in examined:
                del self._unknown[number]
        self._take_up(examined)

    def _pause(self) -> float | None:
        """How long to sleep at most, if nothing happens."""
        pauses = [self._passes.pause(), self._heeding.due_in(self._tid())]
        if self._unknown:
            pauses.append(max(0.0, self._look_again_at - time.monotonic()))
        return min((pause for pause in pauses if pause is not None), default=None)

    def _take_up(self, situations: Mapping[int, Situation]) -> None:
        """Queue, follow or settle runs that were examined."""
        for number, situation in situations.items():
            again = situation.again or self._adopt(situation)
            if again:
                if self._unknown.get(number) != again:
                    log.warning("run %d: %s", number, again)
                self._unknown[number] = again
                continue
            self._unknown.pop(number, None)
            if situation.retry_at is not None:
                # The launcher that recorded this time may have had another clock.
                at = min(situation.retry_at, time.time() + RETRY_PAUSE_MAX_S)
                self._agenda.waiting.add(number, at)
            elif situation.end is not None:
                self._agenda.note_end(number, situation.end)
            elif situation.is_unstarted:
                self._agenda.unstarted.add(number)
        self._look_again_at = time.monotonic() + LOOK_AGAIN_S if self._unknown else math.inf

    def _adopt(self, situation: Situation) -> str:
        """Hand a run that was started to its executor; returns why that is impossible, if it is."""
        try:
            self._executors.adopt(situation)
        except UnknownSystem as error:
            return f"{error}: its job is left alone"
        except OSError as error:
            return f"its pack cannot be read now: {described(error)}"
        return ""

    async def _step(self) -> None:
        """Settle runs that have ended, and start runs that can be started."""
        ended = await self._passes.step(self._tid())
        if ended is None:
            return
        if not self._is_alone:
            # Slots, or the first place in the queue for them.
            self._publisher.send(SlotsFreed(self.name, ended))
        self._status.report_soon()

    def _tid(self) -> bytes:
        """The newest transaction that the bus has announced."""
        assert self._dispatcher is not None
        return self._dispatcher.tid(self.study.name)

    def _on_event(self, event: Event) -> None:
        """Take in an executor's event."""
        match event:
            case Ended(number, end):
                self._agenda.note_end(number, end, time.monotonic())
            case Changed(number, entries):
                self._agenda.note_change(number, entries)
            case Unstarted(number, reason):
                self._agenda.note_unstarted(number)
                self._passes.hindrance.note(reason, time.monotonic())
            case Claimed(number):
                log.warning("run %d: another process has started it", number)
                self._read_again()
        self._wake()

    def _read_again(self) -> None:
        """Have all runs looked at: other processes have started some."""
        if self._waiter is not None:
            self._waiter.read_again = True

    def _on_other(self, message: Message) -> None:
        if isinstance(message, SlotsFreed) and self._executors.chosen.is_short:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.event.set()

    def _look_at_pauses(self) -> None:
        before = self._passes.paused
        self._passes.paused = is_paused(self._runtime, self.study.name)
        if self._passes.paused != before:
            log.info("told to start %s", "nothing more" if self._passes.paused else "runs again")
        self._status.report()
        self._wake()

    def _stop(self) -> None:
        log.info("told to end all runs")
        self._stopping = True
        self._stop_all()  # at once: without the ZEO server the loop may be held up
        self._wake()

    def _stop_all(self) -> None:
        for executor in self._executors:
            executor.stop(STOPPED)

    async def _end_all(self) -> None:
        """End the runs that do not outlive the workflow, and record their ends."""
        self._stop_all()
        deadline = time.monotonic() + END_DEADLINE_S
        while any(e.is_ending for e in self._executors) and time.monotonic() < deadline:
            assert self._waiter is not None
            await self._waiter.wait(deadline - time.monotonic())
        self._executors.local.sweep_now()
        ahead = [number for executor in self._executors for number in executor.ahead.runs]
        count = 0
        while (ended := self._agenda.take_news(NEWS_AT_ONCE).ended) or ahead:
            await atomically(self._base, partial(self._passes.records.end_all, ended, ahead))
            count, ahead = count + len(ended), []
        log.info("ended %d runs", count)

    async def _heartbeat(self) -> None:
        while True:
            self._status.report()
            await asyncio.sleep(until_next(HEARTBEAT_S))
