"""The launcher of a study: starts its CREATED runs as soon as the bus tells of them.

Woken by the bus, by the end of a run, by slots that others give back. Each pass commits the ends
of runs and the start of others together, and starts the processes afterwards. A launcher that is
killed loses nothing: the next one finds the claims and the exit records in the run directories.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from motoko.bd.base import StudyBase, connect
from motoko.bus.messages import DaemonStatus, Message, SlotsFreed
from motoko.bus.publisher import Publisher
from motoko.dispatch import Counters, Dispatcher, Interest, Waiter
from motoko.policy import Policy, WrongPolicy
from motoko.run_output import tail
from motoko.states import CANCELLED_BY, CREATED, FINISHED, LAUNCHED, RUNNING_STATES
from motoko.timing import HEARTBEAT_S, until_next
from motoko.workers.active import KILL_GRACE_S, ActiveRuns
from motoko.workers.batch.jobs import JobIntent, Jobs
from motoko.workers.daemon import Daemon, arguments, running
from motoko.workers.ends import End, settle
from motoko.workers.local_run import LocalRun
from motoko.workers.preparing import Preparer
from motoko.workers.recovery import Found, examine
from motoko.workers.run_queue import RunQueue
from motoko.workers.slots import Slots, release, usable_cpus
from motoko.workers.transacting import atomically

log = logging.getLogger(__name__)

# While runs wait for slots that another launcher holds, in case its word on the bus is lost.
SLOT_RETRY_S = 1.0
BUS_DEADLINE_S = 5.0
END_DEADLINE_S = KILL_GRACE_S + 5.0  # for all runs to end, when told to


@dataclass
class Work:
    """What is to be done. Ids are run ids."""

    waiting: RunQueue = field(default_factory=RunQueue)  # CREATED
    unstarted: set[int] = field(default_factory=set)  # launched by a predecessor, never started
    ended: dict[int, End] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)  # active runs that were seen to be FINISHED
    changed: dict[int, dict[str, Any]] = field(default_factory=dict)  # entries of batch jobs


@dataclass
class Batch:
    """What goes into one transaction."""

    ended: dict[int, End]
    changed: dict[int, dict[str, Any]]
    looked: bool = False
    starting: dict[int, list[int]] = field(default_factory=dict)  # runs and their slots
    wrapped: dict[tuple[int, int], LocalRun] = field(default_factory=dict)  # by run and attempt
    going: set[tuple[int, int]] = field(default_factory=set)  # those that are to begin
    jobs: dict[tuple[int, int], JobIntent] = field(default_factory=dict)  # those for a scheduler


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
        self._slots = Slots(
            daemon.runtime.wf / "locks" / "slots", slots or daemon.config.slots or usable_cpus()
        )
        self._base: StudyBase = connect(self.study, daemon.runtime)
        self._jobs = Jobs(daemon, self.study, generator, self._job_changed, self._job_ended)
        self._preparer = Preparer(self._base, None if self._jobs.wanted else self._slots.count)
        self._work = Work()
        self._active = ActiveRuns(self._ended)
        self._short_of_slots = False
        self._stopping = False
        self._paused = False  # nothing is started any more; what runs is looked after
        self._waiter: Waiter | None = None
        self._hints: set[bytes] = set()  # what new runs will have us load
        self._dispatcher: Dispatcher | None = None
        self._woken = Counters()

    async def run(self) -> None:
        """Launch until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._stop)
        loop.add_signal_handler(signal.SIGUSR2, self._pause_or_resume)
        heart = loop.create_task(self._heartbeat())
        dispatcher = Dispatcher(
            self._runtime,
            [self.study.name],
            lambda study: self._base.tid,
            topics=[b"slots."],
            on_other=self._on_other,
        )
        self._dispatcher, self._woken = dispatcher, dispatcher.counters
        with dispatcher.waiting(Interest(studies=[self.study.name])) as waiter:
            self._waiter = waiter
            await dispatcher.live()
            await self._look_at_everything()
            jobs = loop.create_task(self._jobs.runs.watch())
            jobs.add_done_callback(lambda task: self._wake())
            log.info("ready: %d slots, %d runs waiting", self._slots.count, len(self._work.waiting))
            self._report()
            while not self._stopping:
                await self._step()
                news = await waiter.wait(self._pause())
                if jobs.done():
                    jobs.result()
                if len(self._active) or len(self._jobs.runs):
                    await atomically(self._base, self._end_cancelled, self._tid())
                for change in news:
                    if change.new == CREATED:
                        self._work.waiting.add(change.run_id)
                        self._hints.update(bytes.fromhex(oid) for oid in change.oids)
                    elif change.old == CREATED and change.new not in RUNNING_STATES:
                        self._work.waiting.remove(change.run_id)  # cancelled, or deleted
                    elif change.new == FINISHED and (
                        change.run_id in self._active or change.run_id in self._jobs.runs
                    ):
                        self._work.finished.add(change.run_id)
                if waiter.read_again:
                    waiter.read_again = False
                    await self._look_at_everything()
            jobs.cancel()
            await self._end_all()
        heart.cancel()
        dispatcher.close()

    def _pause(self) -> float | None:
        """How long to sleep at most, if nothing happens."""
        now = time.time()
        at = self._work.waiting.next_at(now)
        pauses = [] if at is None else [at - now]
        if self._short_of_slots:
            pauses.append(SLOT_RETRY_S)
        return min(pauses, default=None)

    async def _look_at_everything(self) -> None:
        """Find what is to be started, adopted or settled: at the start, or after a gap."""
        known = {*self._active, *self._jobs.runs, *self._work.ended}

        def look() -> dict[int, Found]:
            found = {}
            for run in self._base.all_runs():
                number = run.entries["id"]
                if number in known or not self._preparer.is_ours(run.entries):
                    continue
                if self._jobs.adopt(run.entries, self._policy):
                    continue
                if what := examine(run.entries):
                    found[number] = what
            return found

        for number, what in (await atomically(self._base, look)).items():
            if what.retry_at is not None:
                self._work.waiting.add(number, what.retry_at)
            elif what.end is not None:
                self._work.ended[number] = what.end
                if what.session is not None:
                    self._active.sweep(what.session)
            elif what.process is not None:
                log.info("run %d: adopted (pid %d)", number, what.process.pid)
                self._active.add(LocalRun.adopt(number, what, self._timeout(number)))
            else:
                self._work.unstarted.add(number)

    async def _step(self) -> None:
        """Settle what has ended and start what can be started."""
        work = self._work
        while True:
            ended, work.ended = work.ended, {}
            changed, work.changed = work.changed, {}
            if not (ended or changed or ((work.unstarted or work.waiting) and not self._paused)):
                self._slots.give_up()
                return
            batch = Batch(ended, changed)
            try:
                await atomically(self._base, partial(self._commit, batch), self._tid())
            except BaseException:
                work.ended = {**ended, **work.ended}
                work.changed = {**changed, **work.changed}
                for slots in batch.starting.values():
                    release(slots)
                for run in batch.wrapped.values():
                    run.abandon()
                raise
            if not (ended or changed or batch.starting):
                return
            starting = batch.starting
            for number in starting:
                work.waiting.remove(number)
                work.unstarted.discard(number)
            for key, run in batch.wrapped.items():
                if key in batch.going:
                    run.go()
                    self._active.add(run)
                else:
                    run.abandon()
            for key, intent in batch.jobs.items():
                if key in batch.going:
                    self._jobs.submit(intent)
            for slots in starting.values():
                release(slots)
            # Slots, or the first place in the queue for them.
            self._publisher.send(SlotsFreed(self.name, len(ended)))
            self._report()

    def _commit(self, batch: Batch) -> None:
        """What is committed at once: ends, and starts, whose wrappers wait for it. Repeatable."""
        batch.going.clear()
        for number, changes in batch.changed.items():
            if (run := self._base.runs.entries.get(number)) is not None:
                run.entries.update(changes)
        for number, end in batch.ended.items():
            self._settle(number, end)
        if not (batch.looked or self._paused):
            self._prefetch()
            batch.starting = self._take_slots()
            batch.looked = True
        for number, slots in batch.starting.items():
            launched = number in self._work.unstarted or self._is_through(batch, number)
            prepared = self._preparer.prepare(number, launched)
            if prepared is not None:
                key = number, prepared.attempt
                batch.going.add(key)
                if self._jobs.wanted:
                    entries = self._base.runs.entries[number].entries
                    batch.jobs[key] = self._jobs.intend(entries, prepared, batch.jobs.get(key))
                elif key not in batch.wrapped:
                    batch.wrapped[key] = LocalRun.start(prepared, slots)

    def _is_through(self, batch: Batch, number: int) -> bool:
        """Whether an earlier commit has marked a run, although its server died before it said so.

        Nobody else marks runs of this study: there is one launcher.
        """
        run = self._base.runs.entries.get(number)
        if run is None or run.entries.get("state") != LAUNCHED:
            return False
        return (number, run.entries.get("attempt")) in {*batch.wrapped, *batch.jobs}

    def _tid(self) -> bytes:
        """The newest transaction that the bus has told of."""
        assert self._dispatcher is not None
        return self._dispatcher.tid(self.study.name)

    def _prefetch(self) -> None:
        """Ask for all that new runs consist of in one round trip."""
        if self._hints:
            self._base.connection.prefetch(list(self._hints))
            self._hints.clear()

    def _take_slots(self) -> dict[int, list[int]]:
        """Slots for as many of the runs that may start as there are, in their order."""
        taken: dict[int, list[int]] = {}
        self._short_of_slots = False
        if self._jobs.wanted:
            waiting = [*sorted(self._work.unstarted), *self._work.waiting.due(time.time())]
            room = self._jobs.room(len(waiting))
            self._short_of_slots = room < len(waiting)
            return {number: [] for number in waiting[:room]}
        number = None
        for number in itertools.chain(
            sorted(self._work.unstarted), self._work.waiting.due(time.time())
        ):
            if number not in self._work.unstarted and not self._preparer.can_start(number):
                taken[number] = []  # there is nothing to wait for
                continue
            wanted = self._preparer.slots_wanted(number)
            slots = self._slots.take(min(wanted, self._slots.count))
            if slots is None:
                self._short_of_slots = True
                break
            taken[number] = slots
        if number is None:
            self._slots.give_up()
        return taken

    def _settle(self, number: int, end: End) -> None:
        run = self._base.runs.entries.get(number)
        if run is None:
            return  # deleted meanwhile
        run.entries.update(end.entries)
        changes = settle(run.entries, end, policy=self._policy(run.entries), now=time.time())
        if "retry_at" in changes:
            self._work.waiting.add(number, changes["retry_at"])
            log.warning("run %d failed and will be retried: %s", number, changes["last_failure"])
        elif "failure_reason" in changes:
            log.warning("run %d failed: %s", number, changes["failure_reason"])
        run.entries.update(changes)

    def _policy(self, entries: Mapping[str, Any]) -> Policy:
        try:
            return self._preparer.policy(entries)
        except WrongPolicy:
            return self.study.policy  # somebody has spoilt it since it was started

    def _timeout(self, number: int) -> float | None:
        return self._policy(self._base.runs.entries[number].entries).timeout

    def _end_cancelled(self) -> None:
        """End the runs that somebody has cancelled: what a commit without new states may say."""
        for runs in (self._active, self._jobs.runs):
            for number in runs:
                run = self._base.runs.entries.get(number)
                if run is not None and (who := run.entries.get(CANCELLED_BY)):
                    runs.end(number, f"cancelled by {who}", final=True)

    def _ended(self, run: LocalRun, code: int | None, reason: str) -> None:
        if run.is_claimed:
            log.warning("run %d: somebody else has started it", run.run_id)
            if self._waiter is not None:
                self._waiter.read_again = True
            self._wake()
            return
        self._work.ended[run.run_id] = End(
            code=code,
            reason=reason,
            stderr=tail(run.directory / run.stderr),
            final=run.final,
            finished=run.run_id in self._work.finished,
        )
        self._work.finished.discard(run.run_id)
        self._wake()

    def _job_changed(self, number: int, entries: Mapping[str, Any]) -> None:
        self._work.changed.setdefault(number, {}).update(entries)
        self._wake()

    def _job_ended(self, number: int, end: End) -> None:
        self._work.changed.pop(number, None)
        finished = number in self._work.finished
        self._work.finished.discard(number)
        self._work.ended[number] = replace(end, finished=finished)
        self._wake()

    def _on_other(self, message: Message) -> None:
        if isinstance(message, SlotsFreed) and self._short_of_slots:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.event.set()

    def _pause_or_resume(self) -> None:
        self._paused = not self._paused
        log.info("told to start %s", "nothing more" if self._paused else "runs again")
        self._report()
        self._wake()

    def _stop(self) -> None:
        log.info("told to end all runs")
        self._stopping = True
        self._tell_all()  # at once: a server that is away may keep us from getting any further
        self._wake()

    def _tell_all(self) -> None:
        for number in self._active:
            self._active.end(number, "stopped by `motoko kill`", final=True)

    async def _end_all(self) -> None:
        """End the local runs, and record it."""
        self._tell_all()
        deadline = time.monotonic() + END_DEADLINE_S
        while len(self._active) and time.monotonic() < deadline:
            assert self._waiter is not None
            await self._waiter.wait(deadline - time.monotonic())
        ended, self._work.ended = self._work.ended, {}

        def commit() -> None:
            for number, end in ended.items():
                self._settle(number, end)

        if ended:
            await atomically(self._base, commit)
        log.info("ended %d runs", len(ended))

    async def _heartbeat(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(until_next(HEARTBEAT_S))

    def _report(self) -> None:
        running, queued = len(self._active), len(self._work.waiting)
        self._publisher.send(
            DaemonStatus(
                self.name,
                os.getpid(),
                detail=f"{running} running, {queued} queued{', paused' * self._paused}"
                + self._jobs.detail,
                counts={
                    "running": running,
                    "queued": queued,
                    "slots": self._slots.count,
                    "paused": int(self._paused),
                    **self._jobs.counts,
                    **asdict(self._woken),
                },
            )
        )


def main() -> None:
    """Entry point of ``python -m motoko.workers.launcher``."""
    options = arguments("The launcher of a study.", study=True)
    with (
        running(f"launcher:{options.study}", options.workflow) as daemon,
        Publisher(daemon.runtime.bus_publish) as publisher,
    ):
        publisher.connected(BUS_DEADLINE_S)
        launcher = Launcher(daemon, options.study, options.slots, publisher, options.generator)
        asyncio.run(launcher.run())


if __name__ == "__main__":
    main()
