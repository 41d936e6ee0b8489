"""A launcher's passes: gather facts, make a plan from them, commit it, and carry it out."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

from motoko.store.base import StudyBase
from motoko.workers.launcher.agenda import Agenda
from motoko.workers.launcher.ahead import LINGER_S
from motoko.workers.launcher.committing import Commit, Records
from motoko.workers.launcher.executor import Executor, Place
from motoko.workers.launcher.hindrances import Hindered, Hindrance, Rivals, check_environment
from motoko.workers.launcher.plan import Candidate, Facts, Plan, plan, widths
from motoko.workers.launcher.preparing import Preparer

# How often to try for slots that another launcher holds: its message on the bus may be lost.
SLOT_RETRY_S = 1.0
# A launcher that comes back finds that hundreds of jobs have ended. Several transactions keep what
# is done already if it is killed, conflict less often with runs, and let heartbeats go out.
NEWS_AT_ONCE = 100

Transaction = Callable[[Callable[[], None], bytes], Awaitable[None]]
"""Calls a function in a view at least as new as a transaction, and commits; retries if it must."""


@dataclass
class OnePass:
    """A pass: its facts and, once its transaction has seen which runs may start, its plan."""

    facts: Facts
    commit: Commit
    places: list[Place] = field(default_factory=list)
    hindrance: str = ""
    plan: Plan | None = None


class Passes:
    """Decides what is to be done with the runs of one study, and does it.

    Args:
        base: the study's base.
        executor: gets the new runs.
        transaction: commits what a function writes.

    Attributes:
        agenda: what is to be done.
        preparer: writes run directories; records: writes into runs' entries.
        hints: database records that will be loaded for new runs.
        paused: no run is started; those that run are looked after.
        hindrance: what keeps runs from being started now.
        rivals: other launchers that start runs of the study.
    """

    def __init__(self, base: StudyBase, executor: Executor, transaction: Transaction) -> None:
        self.agenda = Agenda()
        self.preparer = Preparer(base, executor.widest)
        self.hints: set[bytes] = set()
        self.paused = False
        self.hindrance = Hindrance()
        self.rivals = Rivals()
        self.records = Records(base, self.preparer)
        self._base = base
        self._executor = executor
        self._transaction = transaction
        self._more = False  # whether there may be more runs to start: not all were looked at

    def _facts(self) -> Facts:
        now, ahead = time.monotonic(), self._executor.ahead
        return Facts(
            now=now,
            paused=self.paused or self.hindrance.left(now) > 0,
            waiting=self.agenda.has_waiting,
            is_low=ahead.is_low,
            late=ahead.late(now, at_once=self.paused),
            news=self.agenda.news,
        )

    async def step(self, tid: bytes) -> int | None:
        """Settle ended runs and start runs that can be started, in a view as new as ``tid``.

        Returns how many runs ended, or ``None`` if there was nothing to do.
        """
        if not (self.paused or self.hindrance.left(time.monotonic())):
            try:
                self._executor.proceed()
            except Hindered as hindered:
                self._note_hindrance(str(hindered))
        facts = self._facts()
        if not (facts.waiting or self._executor.ahead.runs):
            self.hindrance.clear()
        if not facts.is_due:
            if not (facts.waiting or self._executor.ahead.runs):
                self._executor.room(())
            self._tell_what_comes()
            return None
        news = self.agenda.take_news(NEWS_AT_ONCE)
        facts = replace(facts, news=news)
        one = OnePass(facts, Commit(self.records, self._executor, self.agenda.unstarted))
        try:
            try:
                await self._transaction(partial(self._write, one), tid)
            except BaseException:
                self.agenda.put_back(news)
                one.commit.abandon()
                raise
            assert one.plan is not None
            one.commit.begin(one.plan, self.agenda, time.monotonic())
            if hindrance := one.hindrance or one.commit.hindrance:
                self._note_hindrance(hindrance)
            elif one.commit.does_start:
                self.hindrance.clear()
        finally:
            self._executor.release(one.places)
            self._tell_what_comes()
        return len(one.plan.end) if one.plan.does_something else None

    def _write(self, one: OnePass) -> None:
        """In the transaction: make the plan, the first time, and write it. May be repeated."""
        if one.plan is None:
            candidates: list[Candidate] = []
            if not (self.paused or one.facts.paused):
                candidates = self._candidates()
                try:
                    if candidates:
                        check_environment()
                    self.rivals.check()
                    one.places = self._executor.room(widths(candidates))
                except Hindered as hindered:
                    candidates, one.hindrance = [], str(hindered)
            one.plan = plan(one.facts, candidates, len(one.places), self._executor.ahead.spare)
        # Runs that end meanwhile make room for those that earlier passes have prepared.
        attends = not (one.facts.paused or one.plan.give_back)

        def between() -> None:
            self.preparer.between()
            if attends:
                self._executor.attend()

        one.commit.write(one.plan, one.places, between)

    def _tell_what_comes(self) -> None:
        """Tell the executor, which may submit runs together, what it will be given soon."""
        now, monotonic = time.time(), time.monotonic()
        starts = self.agenda.has_waiting and not (self.paused or self._executor.is_short)
        starts = starts and not self.hindrance.left(monotonic)
        at = self.agenda.waiting.next_at(now) if starts else None
        next_at = math.inf if at is None else monotonic + at - now
        self._executor.expect(more=self._more and starts, next_at=next_at)

    def _note_hindrance(self, reason: str) -> None:
        self.hindrance.note(reason, time.monotonic())

    def _candidates(self) -> list[Candidate]:
        """The runs that are next, in the transaction's view: as many as are worth looking at."""
        self._prefetch()
        reach = self._executor.reach
        candidates: list[Candidate] = []
        for number in self.agenda.due(time.time()):
            candidates.append(self._candidate(number))
            reach -= candidates[-1].can_start
            if reach == 0:
                break
        self._more = reach == 0
        return candidates

    def _candidate(self, number: int) -> Candidate:
        width = self.preparer.slots_wanted(number)
        if (widest := self._executor.widest) is not None:
            width = min(width, widest)
        is_unstarted = number in self.agenda.unstarted
        can_start = is_unstarted or self.preparer.can_start(number)
        return Candidate(number, width, is_unstarted, can_start)

    def _prefetch(self) -> None:
        """Load the objects of new runs in a few round trips: in one, if hints name them."""
        if self.hints:
            self._base.connection.prefetch(list(self.hints))
            self.hints.clear()
            return
        due = list(itertools.islice(self.agenda.due(time.time()), self._executor.reach))
        if len(due) > 1:
            for job in self._base.load_with_jobs(due):
                len(job.entries)  # what was loaded is at hand in this transaction only
            runs = map(self._base.runs.entries.get, due)
            self._base.prefetch([run.configfiles for run in runs if run is not None])

    def pause(self) -> float | None:
        """How long to sleep at most, if nothing happens."""
        executor, news = self._executor, self.agenda.news
        if news.changed or (news.ended and news.first_end is None):
            return 0.0
        may_start = self.agenda.has_waiting and executor.ahead.is_low and not self.paused
        now, monotonic = time.time(), time.monotonic()
        held = self.hindrance.left(monotonic)
        if self._more and may_start and not (executor.is_short or held):
            return 0.0
        at = self.agenda.waiting.next_at(now)
        pauses = [] if at is None else [at - now]
        if held or executor.is_short:
            pauses.append(held or SLOT_RETRY_S)
        if news.first_end is not None:
            pauses.append(news.first_end + LINGER_S - monotonic)
        if (at := executor.ahead.next_at()) is not None:
            pauses.append(at - monotonic)
        return max(0.0, min(pauses)) if pauses else None
