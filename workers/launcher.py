"""The launcher of a study: starts its CREATED runs as soon as the bus tells of them.

Woken by the bus, by the end of a run, by slots that others give back. Each pass commits the ends
of runs and the start of others together, and starts the processes afterwards; short runs are
prepared ahead of their slots. A launcher that is killed loses nothing: the next one finds the
claims and the exit records in the run directories.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping
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
from motoko.workers.ahead import LINGER_S, Ahead
from motoko.workers.batch.jobs import JobIntent, Jobs
from motoko.workers.daemon import Daemon, arguments, running
from motoko.workers.ends import End, settle
from motoko.workers.local_run import LocalRun
from motoko.workers.preparing import Prepared, Preparer
from motoko.workers.recovery import Found, examine
from motoko.workers.run_queue import RunQueue
from motoko.workers.slots import Slots, release, usable_cpus
from motoko.workers.transacting import atomically

log = logging.getLogger(__name__)

# While runs wait for slots that another launcher holds, in case its word on the bus is lost.
SLOT_RETRY_S = 1.0
BUS_DEADLINE_S = 5.0
LOOK_AT = 500  # runs at a time
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

    late: Collection[int]  # runs that have waited for slots for too long
    ended: dict[int, End] = field(default_factory=dict)
    changed: dict[int, dict[str, Any]] = field(default_factory=dict)
    looked: bool = False
    starting: dict[int, list[int]] = field(default_factory=dict)  # runs and their slots
    ahead: dict[int, Prepared | None] = field(default_factory=dict)  # runs that will wait for some
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
        self._ahead = Ahead(self._slots.count)
        self._first_end: float | None = None  # when the oldest of work.ended was noticed
        self._active = ActiveRuns(self._ended)
        self._short_of_slots = False
        self._stopping = False
        self._ready = False  # all runs have been looked at once
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
            self._ready = True
            log.info("ready: %d slots, %d runs waiting", self._slots.count, len(self._work.waiting))
            self._report()
            while not self._stopping:
                await self._step()
                news = await waiter.wait(self._pause())
                if jobs.done():
                    jobs.result()
                if self._active or self._ahead or self._jobs.runs:
                    await atomically(self._base, self._heed, self._tid())
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
        if self._first_end is not None:
            pauses.append(self._first_end + LINGER_S - time.monotonic())
        if (at := self._ahead.next_at()) is not None:
            pauses.append(at - time.monotonic())
        return max(0.0, min(pauses)) if pauses else None

    async def _look_at_everything(self) -> None:
        """Find what is to be started, adopted or settled: at the start, or after a gap.

        The first ones are started, and heartbeats go out, before the last ones are looked at.
        """
        after: int | None = -1
        while after is not None and not self._stopping:
            found, after = await atomically(self._base, partial(self._look, after))
            self._take_up(found)
            await self._step()
            await asyncio.sleep(0)

    def _look(self, after: int) -> tuple[dict[int, Found], int | None]:
        """What is to be done with some runs, in their order; and the last of them, if more come."""
        known = {*self._active, *self._ahead, *self._jobs.runs, *self._work.ended}
        some = itertools.islice(self._base.runs.entries.items(after, excludemin=True), LOOK_AT)
        found: dict[int, Found] = {}
        last = None
        for last, run in self._base.loaded(some):
            if last in known or not self._preparer.is_ours(run.entries):
                continue
            if self._jobs.adopt(run.entries, self._policy):
                continue
            if what := examine(run.entries):
                found[last] = what
        return found, last

    def _take_up(self, found: Mapping[int, Found]) -> None:
        """Queue, watch or settle what was found."""
        for number, what in found.items():
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
        work, ahead = self._work, self._ahead
        self._start_ready()
        batch = Batch(late=ahead.late(time.monotonic(), at_once=self._paused))
        if not (self._may_settle() or batch.late or self._may_prepare()):
            if not (ahead or work.unstarted or work.waiting):
                self._slots.give_up()
            return
        batch.ended, work.ended, self._first_end = work.ended, {}, None
        batch.changed, work.changed = work.changed, {}
        try:
            await atomically(self._base, partial(self._commit, batch), self._tid())
        except BaseException:
            work.ended = {**batch.ended, **work.ended}
            work.changed = {**batch.changed, **work.changed}
            for slots in batch.starting.values():
                release(slots)
            for run in batch.wrapped.values():
                run.abandon()
            raise
        for number in (*batch.starting, *batch.ahead):
            work.waiting.remove(number)
            work.unstarted.discard(number)
        for number in batch.late:
            ahead.drop(number)
            work.waiting.add(number)
        for prepared in batch.ahead.values():
            if prepared is not None:
                ahead.add(prepared, time.monotonic())
        for key, run in batch.wrapped.items():
            if key in batch.going:
                run.go()
                self._active.add(run)
            else:
                run.abandon()
        for key, intent in batch.jobs.items():
            if key in batch.going:
                self._jobs.submit(intent)
        for slots in batch.starting.values():
            release(slots)
        if batch.ended or batch.changed or batch.starting or batch.ahead or batch.late:
            # Slots, or the first place in the queue for them.
            self._publisher.send(SlotsFreed(self.name, len(batch.ended)))
            self._report()

    def _may_settle(self) -> bool:
        """Whether there is news that does not wait for more, to be committed together."""
        if self._work.changed:
            return True
        if self._first_end is None or not self._ahead or self._ahead.is_low:
            return bool(self._work.ended)
        return time.monotonic() >= self._first_end + LINGER_S

    def _may_prepare(self) -> bool:
        """Whether some of those that wait may be started, or prepared ahead of their slots."""
        if self._paused or not (self._work.unstarted or self._work.waiting):
            return False
        return not self._ahead or self._ahead.is_low

    def _start_ready(self) -> None:
        """Start those that are prepared, as far as there are slots."""
        while self._ahead and not self._paused:
            slots = self._slots.take(1)
            self._short_of_slots = slots is None
            if slots is None:
                return
            prepared = self._ahead.first
            try:
                run = LocalRun.start(prepared, slots)
            finally:
                release(slots)
            run.go()
            self._active.add(run)
            self._ahead.drop(prepared.run_id)

    def _commit(self, batch: Batch) -> None:
        """What is committed at once: ends, and starts, whose wrappers wait for it. Repeatable."""
        batch.going.clear()
        for number, changes in batch.changed.items():
            if (run := self._base.runs.entries.get(number)) is not None:
                run.entries.update(changes)
        for number, end in batch.ended.items():
            self._settle(number, end)
        for number in batch.late:
            self._give_back(number)
        if not (batch.looked or self._paused):
            self._prefetch()
            self._choose(batch)
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
        for number in batch.ahead:
            batch.ahead[number] = self._preparer.prepare(number, self._is_through(batch, number))

    def _is_through(self, batch: Batch, number: int) -> bool:
        """Whether an earlier commit has marked a run, although its server died before it said so.

        Nobody else marks runs of this study: there is one launcher.
        """
        run = self._base.runs.entries.get(number)
        if run is None or run.entries.get("state") != LAUNCHED:
            return False
        earlier = batch.ahead.get(number)
        attempt = run.entries.get("attempt")
        return (number, attempt) in {*batch.wrapped, *batch.jobs} or (
            earlier is not None and earlier.attempt == attempt
        )

    def _tid(self) -> bytes:
        """The newest transaction that the bus has told of."""
        assert self._dispatcher is not None
        return self._dispatcher.tid(self.study.name)

    def _due(self) -> Iterator[int]:
        """Those that wait, in their order."""
        return itertools.chain(sorted(self._work.unstarted), self._work.waiting.due(time.time()))

    def _prefetch(self) -> None:
        """Ask for all that new runs consist of in a few round trips: in one, if we are told."""
        if self._hints:
            self._base.connection.prefetch(list(self._hints))
            self._hints.clear()
            return
        wanted = self._slots.count + self._ahead.room - len(self._active) - len(self._ahead)
        if wanted > 1:
            self._base.load_with_jobs(list(itertools.islice(self._due(), wanted)))

    def _choose(self, batch: Batch) -> None:
        """Slots for as many of the runs that may start as there are; who is prepared ahead."""
        if self._jobs.wanted:
            waiting = list(self._due())
            room = self._jobs.room(len(waiting))
            self._short_of_slots = room < len(waiting)
            batch.starting = {number: [] for number in waiting[:room]}
            return
        self._short_of_slots = bool(self._ahead)
        room = self._ahead.room - len(self._ahead)
        for number in self._due():
            unstarted = number in self._work.unstarted
            if not unstarted and not self._preparer.can_start(number):
                batch.starting[number] = []  # there is nothing to wait for
                continue
            wanted = min(self._preparer.slots_wanted(number), self._slots.count)
            slots = None if self._short_of_slots else self._slots.take(wanted)
            if slots is not None:
                batch.starting[number] = slots
                continue
            self._short_of_slots = True
            if unstarted or wanted > 1 or len(batch.ahead) >= room:
                break
            batch.ahead[number] = None
        if not self._short_of_slots:
            self._slots.give_up()

    def _give_back(self, number: int) -> None:
        """Have a run that was prepared ahead wait like the others, unless it has been cancelled."""
        run = self._base.runs.entries.get(number)
        if run is not None and run.entries.get("state") == LAUNCHED:
            run.entries["state"] = CREATED

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

    def _heed(self) -> None:
        """End the runs that somebody has cancelled: what a commit without new states may say."""
        for number in (*self._active, *self._ahead, *self._jobs.runs):
            run = self._base.runs.entries.get(number)
            who = run.entries.get(CANCELLED_BY) if run is not None else None
            if number in self._ahead:
                if who:
                    self._note_end(number, End(reason=f"cancelled by {who}", final=True))
                if who or run is None or run.entries.get("state") != LAUNCHED:
                    self._ahead.drop(number)
            elif who:
                runs = self._active if number in self._active else self._jobs.runs
                runs.end(number, f"cancelled by {who}", final=True)

    def _note_end(self, number: int, end: End) -> None:
        self._work.ended[number] = end
        self._work.finished.discard(number)
        if self._first_end is None:
            self._first_end = time.monotonic()
        self._wake()

    def _ended(self, run: LocalRun, code: int | None, reason: str) -> None:
        if run.is_claimed:
            log.warning("run %d: somebody else has started it", run.run_id)
            if self._waiter is not None:
                self._waiter.read_again = True
            self._wake()
            return
        self._ahead.has_taken(time.time() - run.started)
        stderr = tail(run.directory / run.stderr)
        finished = run.run_id in self._work.finished
        end = End(code=code, reason=reason, stderr=stderr, final=run.final, finished=finished)
        self._note_end(run.run_id, end)

    def _job_changed(self, number: int, entries: Mapping[str, Any]) -> None:
        self._work.changed.setdefault(number, {}).update(entries)
        self._wake()

    def _job_ended(self, number: int, end: End) -> None:
        self._work.changed.pop(number, None)
        self._note_end(number, replace(end, finished=number in self._work.finished))

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
        ahead = list(self._ahead)

        def commit() -> None:
            for number, end in ended.items():
                self._settle(number, end)
            for number in ahead:
                self._give_back(number)

        if ended or ahead:
            await atomically(self._base, commit)
        log.info("ended %d runs", len(ended))

    async def _heartbeat(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(until_next(HEARTBEAT_S))

    def _report(self) -> None:
        running, queued = len(self._active), len(self._work.waiting) + len(self._ahead)
        self._publisher.send(
            DaemonStatus(
                self.name,
                os.getpid(),
                "ready" if self._ready else "starting",
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
