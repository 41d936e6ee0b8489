"""What a pass writes in its transaction, and what it does after the commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from motoko.config.policy import Policy
from motoko.runs.ends import End, is_undecided, settle
from motoko.runs.entries import OwnEntries
from motoko.runs.paths import present_directory
from motoko.runs.program_results import NoResult, read_results
from motoko.runs.references import described
from motoko.runs.regex_search import Searcher
from motoko.runs.run_times import times_of
from motoko.runs.states import (
    CREATED,
    FINISHED,
    LAUNCHED,
    state_of,
)
from motoko.store.base import StudyBase
from motoko.store.history import has_been
from motoko.store.jobs_of_runs import parameters_of
from motoko.workers.launcher.agenda import Agenda
from motoko.workers.launcher.executor import Executor, Place, Start
from motoko.workers.launcher.hindrances import Hindered
from motoko.workers.launcher.plan import Plan
from motoko.workers.launcher.preparing import Prepared

log = logging.getLogger(__name__)


class Preparation(Protocol):
    """The part of :class:`motoko.workers.launcher.preparing.Preparer` that is needed here."""

    def prepare(self, number: int, launched_already: bool) -> Prepared | None:
        """Write a run's directory and mark it ``launched``; ``None`` if it must not start.

        Raises ``Hindered``.
        """

    def repair(self, number: int, entries: MutableMapping[str, Any]) -> None:
        """Correct the entries by which a run is found, if they are wrong."""

    def policy(self, entries: Mapping[str, Any]) -> Policy:
        """How a run that was started is executed."""


class Records:
    """Writes into runs' entries what has become of the runs, in the base's present view.

    Args:
        base: the study's base; preparer: knows how its runs are executed.
    """

    def __init__(self, base: StudyBase, preparer: Preparation) -> None:
        self.preparer = preparer
        self._base = base
        self._search = Searcher()

    def entries(self, number: int) -> MutableMapping[str, Any] | None:
        """A run's entries; ``None`` if it is gone."""
        run = self._base.runs.entries.get(number)
        return None if run is None else run.entries

    def load(self, numbers: Sequence[int]) -> None:
        """Load runs together: on a busy server, one after another takes seconds."""
        if len(numbers) > 1:
            self._base.load_with_jobs(numbers)

    def described(self, number: int) -> str:
        """A run and its parameters, for the log."""
        run = self.entries(number)
        jobs, study = self._base.jobs.entries, self._base.study
        return described(f"run {number}", {} if run is None else parameters_of(study, jobs, run))

    def change(self, number: int, entries: Mapping[str, Any]) -> None:
        """Set some of Motoko's own entries."""
        if (run := self.entries(number)) is not None:
            OwnEntries(run).update(entries)

    def give_back(self, number: int) -> None:
        """Make a run that was prepared ahead CREATED again, unless it has been cancelled."""
        run = self.entries(number)
        if run is not None and state_of(run) == LAUNCHED:
            run["state"] = CREATED

    def end_all(self, ended: Mapping[int, End], ahead: Iterable[int]) -> None:
        """Record ends for a launcher that ends; runs that were prepared ahead will wait again."""
        self.load([*ended])
        for number, end in ended.items():
            self.end(number, end)
        for number in ahead:
            self.give_back(number)

    def end(self, number: int, end: End) -> float | None:
        """Record an attempt's end; returns when the next one may start, if there will be one."""
        run = self.entries(number)
        if run is None:
            return None  # deleted meanwhile
        self.preparer.repair(number, run)
        own = OwnEntries(run)
        own.convert()
        policy = self.preparer.policy(run)
        times = times_of(run, policy.environment)
        own.update({**end.entries, **end.used.changes(run), **times})
        if is_undecided(run, end):
            # The bus may be too late with the news that the run was FINISHED for a moment.
            stored = self._base.runs.entries[number]
            was_finished = has_been(stored, FINISHED, since=(CREATED, LAUNCHED))
            end = replace(end, finished=was_finished)
        end, results = self._results(run, end, policy)
        changes = settle(run, end, policy=policy, now=time.time())
        own.update(changes)
        if changes.get("ended_state") == FINISHED:
            run.update(results)
        elif "ended_state" in changes:  # results of an earlier execution do not count for this one
            run.update({name: None for name in policy.results if name in run})
        name = self.described(number)
        if changes.get("ended_state") == FINISHED:
            log.info("%s has ended: %s", name, state_of(run))
        if "failure_reason" in changes:
            log.warning("%s failed: %s", name, changes["failure_reason"])
        if "interruptions" in changes:
            log.info("%s was interrupted, and is executed again: %s", name, end.reason)
            return 0.0
        if "retry_at" not in changes:
            return None
        log.warning("%s failed and will be retried: %s", name, changes["last_failure"])
        at: float = changes["retry_at"]
        return at

    def _results(
        self, run: Mapping[str, Any], end: End, policy: Policy
    ) -> tuple[End, Mapping[str, Any]]:
        """The results of a run that has ended well; if one is missing, the end is a failure."""
        if not policy.results or end.code != 0 or end.reason:
            return end, {}
        directory = present_directory(self._base.study, run)
        try:
            attempt = OwnEntries(run).attempt
            return end, read_results(policy.results, directory, run, attempt, self._search)
        except NoResult as error:
            return replace(end, reason=str(error)), {}


class Commit:
    """One pass, from its plan to what is done after its commit.

    Args:
        records: writes what has become of runs; executor: gets the new runs.
        unstarted: runs that an earlier launcher has marked ``launched`` already.

    Attributes:
        hindrance: the machine's trouble that kept a part of the plan from being written, if there
            is any; the runs of that part wait as before.
    """

    def __init__(self, records: Records, executor: Executor, unstarted: Iterable[int]) -> None:
        self._records = records
        self._executor = executor
        self.hindrance = ""
        self._unstarted = frozenset(unstarted)
        self._handled: list[int] = []  # the runs of the plan's start and prepare that were written
        self._starts: dict[tuple[int, int], Start] = {}  # by run and attempt
        self._going: dict[tuple[int, int], str] = {}  # starts that will begin; texts for the log
        self._ahead: dict[int, Prepared] = {}
        self._retries: dict[int, float] = {}

    def write(self, plan: Plan, places: Sequence[Place], between: Callable[[], None]) -> None:
        """Write what the plan says into a fresh view. May be repeated until it is committed.

        ``between`` is called again and again meanwhile.
        """
        self._going.clear()
        self._handled.clear()
        self._records.load([*plan.change, *plan.end])
        for number, entries in plan.change.items():
            self._records.change(number, entries)
            between()
        for number, end in plan.end.items():
            if (retry_at := self._records.end(number, end)) is not None:
                self._retries[number] = retry_at
            between()
        for number in plan.give_back:
            self._records.give_back(number)
        earlier, self._ahead = self._ahead, {}
        self.hindrance = ""
        try:
            for number, index in plan.start.items():
                self._write_start(number, [] if index is None else places[index])
                self._handled.append(number)
            for number in plan.prepare:
                attempts = [earlier[number].attempt] if number in earlier else []
                self._write_prepared(number, attempts)
                self._handled.append(number)
                between()
        except Hindered as hindered:
            self.hindrance = str(hindered)

    def _write_start(self, number: int, place: Place) -> None:
        attempts = [attempt for known, attempt in self._starts if known == number]
        launched = number in self._unstarted or self._is_through(number, attempts)
        prepared = self._records.preparer.prepare(number, launched)
        if prepared is None:
            return
        key = number, prepared.attempt
        if key not in self._starts:
            try:
                self._starts[key] = self._executor.start(prepared, place)
            except Hindered:
                if number not in self._unstarted:
                    self._records.give_back(number)
                raise
        self._going[key] = f"{self._records.described(number)} starts, attempt {prepared.attempt}"
        if (entries := self._records.entries(number)) is not None:
            self._starts[key].mark(entries)

    def _write_prepared(self, number: int, attempts: Sequence[int]) -> None:
        prepared = self._records.preparer.prepare(number, self._is_through(number, attempts))
        if prepared is not None:
            self._ahead[number] = prepared

    def _is_through(self, number: int, attempts: Sequence[int]) -> bool:
        """Whether a run was marked by an earlier commit of this pass.

        The server may have died before it confirmed that commit. Only this launcher marks runs of
        this study. ``attempts`` are those that this pass has prepared before.
        """
        entries = self._records.entries(number)
        if entries is None or state_of(entries) != LAUNCHED:
            return False
        return OwnEntries(entries).attempt in attempts

    @property
    def does_start(self) -> bool:
        """Whether anything starts."""
        return bool(self._going or self._ahead)

    def begin(self, plan: Plan, agenda: Agenda, now: float) -> None:
        """All that was written is committed: begin the starts, and note which runs wait."""
        for number in self._handled:
            agenda.drop(number)
        for number, retry_at in self._retries.items():
            agenda.waiting.add(number, retry_at)
        ahead = self._executor.ahead
        for number in plan.give_back:
            ahead.drop(number)
            agenda.unstarted.discard(number)
            agenda.waiting.add(number)
        for prepared in self._ahead.values():
            ahead.add(prepared, now)
        for key, start in self._starts.items():
            if key in self._going:
                log.info("%s", self._going[key])
                start.begin()
            else:
                start.abandon()

    def abandon(self) -> None:
        """Begin nothing: nothing was committed, or it is not known whether it was."""
        for start in self._starts.values():
            start.abandon()
