"""A launcher's passes: what it commits together, and starts afterwards.

Each commits the ends of runs and the starts of others in one transaction. Runs of a few
milliseconds are committed ahead of their slots, and their ends a little later, several together.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from motoko.bd.base import StudyBase
from motoko.policy import Policy, WrongPolicy
from motoko.states import CREATED, LAUNCHED
from motoko.workers.active import ActiveRuns
from motoko.workers.ahead import LINGER_S, Ahead
from motoko.workers.batch.jobs import JobIntent, Jobs
from motoko.workers.ends import End, settle
from motoko.workers.local_run import LocalRun
from motoko.workers.preparing import Prepared, Preparer
from motoko.workers.run_queue import RunQueue
from motoko.workers.slots import Slots, release
from motoko.workers.transacting import atomically

log = logging.getLogger(__name__)

# While runs wait for slots that another launcher holds, in case its word on the bus is lost.
SLOT_RETRY_S = 1.0
# Runs that become batch jobs: nobody is to wait long for the launcher meanwhile.
JOBS_AT_ONCE = 100


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


class Passes:
    """What is to be done with the runs of one study, and doing it.

    Attributes:
        work: what is to be done; ahead: runs that are prepared, and wait for slots.
        hints: records that new runs will have us load.
        short_of_slots: whether runs wait for slots.
        paused: nothing is started any more; what runs is looked after.
    """

    def __init__(self, base: StudyBase, slots: Slots, active: ActiveRuns, jobs: Jobs) -> None:
        self.slots = slots
        self.preparer = Preparer(base, None if jobs.wanted else slots.count)
        self.work = Work()
        self.ahead = Ahead(slots.count)
        self.hints: set[bytes] = set()
        self.short_of_slots = False
        self.paused = False
        self._base = base
        self._active = active
        self._jobs = jobs
        self._more = False  # there may be more runs to become jobs
        self._first_end: float | None = None  # when the oldest of work.ended was noticed

    async def step(self, tid: bytes) -> int | None:
        """Settle what has ended and start what can be started, in a view as new as ``tid``.

        Returns how many ended, or ``None`` if there was nothing to do.
        """
        work, ahead = self.work, self.ahead
        self._start_ready()
        batch = Batch(late=ahead.late(time.monotonic(), at_once=self.paused))
        if not (self._may_settle() or batch.late or self._may_prepare()):
            if not (ahead or work.unstarted or work.waiting):
                self.slots.give_up()
            return None
        batch.ended, work.ended, self._first_end = work.ended, {}, None
        batch.changed, work.changed = work.changed, {}
        try:
            await atomically(self._base, partial(self._commit, batch), tid)
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
        if self._jobs.wanted:
            self._jobs.passed()
        for slots in batch.starting.values():
            release(slots)
        if batch.ended or batch.changed or batch.starting or batch.ahead or batch.late:
            return len(batch.ended)
        return None

    def _may_settle(self) -> bool:
        """Whether there is news that does not wait for more, to be committed together."""
        if self.work.changed:
            return True
        if self._first_end is None or not self.ahead or self.ahead.is_low:
            return bool(self.work.ended)
        return time.monotonic() >= self._first_end + LINGER_S

    def _may_prepare(self) -> bool:
        """Whether some of those that wait may be started, or prepared ahead of their slots."""
        if self.paused or not (self.work.unstarted or self.work.waiting):
            return False
        return not self.ahead or self.ahead.is_low

    def _start_ready(self) -> None:
        """Start those that are prepared, as far as there are slots."""
        while self.ahead and not self.paused:
            slots = self.slots.take(1)
            self.short_of_slots = slots is None
            if slots is None:
                return
            prepared = self.ahead.first
            try:
                run = LocalRun.start(prepared, slots)
            finally:
                release(slots)
            run.go()
            self._active.add(run)
            self.ahead.drop(prepared.run_id)

    def _commit(self, batch: Batch) -> None:
        """What is committed at once: ends, and starts, whose wrappers wait for it. Repeatable."""
        batch.going.clear()
        for number, changes in batch.changed.items():
            if (run := self._base.runs.entries.get(number)) is not None:
                run.entries.update(changes)
        for number, end in batch.ended.items():
            self.record_end(number, end)
        for number in batch.late:
            self.give_back(number)
        if not (batch.looked or self.paused):
            self._prefetch()
            self._choose(batch)
            batch.looked = True
        for number, slots in batch.starting.items():
            launched = number in self.work.unstarted or self._is_through(batch, number)
            prepared = self.preparer.prepare(number, launched)
            if prepared is not None:
                key = number, prepared.attempt
                batch.going.add(key)
                if self._jobs.wanted:
                    entries = self._base.runs.entries[number].entries
                    batch.jobs[key] = self._jobs.intend(entries, prepared, batch.jobs.get(key))
                elif key not in batch.wrapped:
                    batch.wrapped[key] = LocalRun.start(prepared, slots)
        for number in batch.ahead:
            batch.ahead[number] = self.preparer.prepare(number, self._is_through(batch, number))

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

    def pause(self) -> float | None:
        """How long to sleep at most, if nothing happens."""
        if self._more and self._may_prepare():
            return 0.0
        now = time.time()
        at = self.work.waiting.next_at(now)
        pauses = [] if at is None else [at - now]
        if self.short_of_slots:
            pauses.append(SLOT_RETRY_S)
        if self._first_end is not None:
            pauses.append(self._first_end + LINGER_S - time.monotonic())
        if (at := self.ahead.next_at()) is not None:
            pauses.append(at - time.monotonic())
        return max(0.0, min(pauses)) if pauses else None

    def note_end(self, number: int, end: End) -> None:
        """A run's attempt has ended, which is to be recorded."""
        self.work.ended[number] = end
        self.work.finished.discard(number)
        if self._first_end is None:
            self._first_end = time.monotonic()

    def _due(self) -> Iterator[int]:
        """Those that wait, in their order."""
        return itertools.chain(sorted(self.work.unstarted), self.work.waiting.due(time.time()))

    def _prefetch(self) -> None:
        """Ask for all that new runs consist of in a few round trips: in one, if we are told."""
        if self.hints:
            self._base.connection.prefetch(list(self.hints))
            self.hints.clear()
            return
        wanted = self.slots.count + self.ahead.room - len(self._active) - len(self.ahead)
        if wanted > 1:
            self._base.load_with_jobs(list(itertools.islice(self._due(), wanted)))

    def _choose(self, batch: Batch) -> None:
        """Slots for as many of the runs that may start as there are; who is prepared ahead."""
        if self._jobs.wanted:
            waiting = list(itertools.islice(self._due(), JOBS_AT_ONCE))
            room = self._jobs.room(len(waiting))
            self.short_of_slots = room < len(waiting)
            self._more = room == JOBS_AT_ONCE
            batch.starting = {number: [] for number in waiting[:room]}
            return
        self.short_of_slots = bool(self.ahead)
        room = self.ahead.room - len(self.ahead)
        for number in self._due():
            unstarted = number in self.work.unstarted
            if not unstarted and not self.preparer.can_start(number):
                batch.starting[number] = []  # there is nothing to wait for
                continue
            wanted = min(self.preparer.slots_wanted(number), self.slots.count)
            slots = None if self.short_of_slots else self.slots.take(wanted)
            if slots is not None:
                batch.starting[number] = slots
                continue
            self.short_of_slots = True
            if unstarted or wanted > 1 or len(batch.ahead) >= room:
                break
            batch.ahead[number] = None
        if not self.short_of_slots:
            self.slots.give_up()

    def give_back(self, number: int) -> None:
        """Have a run that was prepared ahead wait like the others, unless it has been cancelled."""
        run = self._base.runs.entries.get(number)
        if run is not None and run.entries.get("state") == LAUNCHED:
            run.entries["state"] = CREATED

    def record_end(self, number: int, end: End) -> None:
        """Write into a run's entries that its attempt has ended; a retry is queued."""
        run = self._base.runs.entries.get(number)
        if run is None:
            return  # deleted meanwhile
        run.entries.update(end.entries)
        changes = settle(run.entries, end, policy=self.policy(run.entries), now=time.time())
        if "retry_at" in changes:
            self.work.waiting.add(number, changes["retry_at"])
            log.warning("run %d failed and will be retried: %s", number, changes["last_failure"])
        elif "failure_reason" in changes:
            log.warning("run %d failed: %s", number, changes["failure_reason"])
        run.entries.update(changes)

    def policy(self, entries: Mapping[str, Any]) -> Policy:
        """How a run that was started is executed."""
        try:
            return self.preparer.policy(entries)
        except WrongPolicy:
            return self._base.study.policy  # somebody has spoilt it since it was started

    def timeout(self, number: int) -> float | None:
        """How many seconds a run may take, if that is limited."""
        return self.policy(self._base.runs.entries[number].entries).timeout
