"""Which runs meet a predicate: found once, then kept up to date with what has changed.

So the cost of asking again depends on the changes since, not on the study. A change is noted once,
however many predicates there are: each of them looks back as far as it has to. ZODB tells which
records other clients have committed, and which the present thread has changed. The answer is
exactly what a search of all runs in the same view would find.

The first search looks at all runs, unless there is a finder. A finder gives the runs at one
transaction, which need not be the view's: runs that have changed between the two are looked at.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from motoko.config import StudyConfig
from motoko.errors import ConstraintError
from motoko.runs.entries import DocumentedEntries
from motoko.store.bd_objects import JobZEO, RunZEO
from motoko.store.found_runs import Found, Matching, Pair, Pairs, Records
from motoko.store.internals.connections import (
    changed_objects,
    object_at,
    view_of,
    when_changed,
    when_others_committed,
)
from motoko.store.jobs_of_runs import NoJob, job_of
from motoko.store.predicates import Predicate
from motoko.store.run_finders import CannotFind
from motoko.store.run_searches import Findable, RunSearches
from motoko.store.trees import records

log = logging.getLogger(__name__)

PREDICATES_MAX = 1000
NEVER = -1
CHANGED_MIN = 1000  # this many changed runs are kept, even for a study that has fewer runs
UNKNOWN_MAX = 100_000  # changed records whose run is unknown; then all runs are searched anew
MANY = 1000  # runs that had to be looked at one by one: worth a warning


class Searched(Findable, Protocol):
    """The part of a study's base that a search needs."""

    study: StudyConfig
    jobs: Any

    def load(self, objects: list[Any]) -> None:
        """Load objects that have ``entries``, and their entries."""


class Matches:
    """The matching runs of one study's connection, by predicate."""

    def __init__(self, base: Searched) -> None:
        self._base = base
        self._searches = RunSearches(base)
        self._matching: dict[Predicate, Matching] = {}
        self._container: Any = None  # the study's runs, when they were last searched
        # Of all runs, when the container was last looked at; None if not all runs were looked at.
        self._numbers: set[int] | None = None
        self._now = 0  # counts changes
        self._oldest = 0  # the last change that is no longer known
        self._before = 0  # the last change before the present question
        self._changed_at: OrderedDict[int, int] = OrderedDict()  # runs, the last changed at the end
        self._run_of: dict[bytes, int] = {}  # the run that a record belongs to
        self._jobs: set[bytes] = set()  # records of jobs that were looked at
        self._unknown: set[bytes] = set()  # changed records that may belong to any run
        self._view = b""  # the view of the last question
        self._left_out: set[int] = set()  # runs without a job, which the log has named
        self._pending: list[bytes] = []  # records with uncommitted changes at the last search
        self._pending_runs: set[int] = set()  # runs that had such changes, or were made or deleted
        self._forgotten = 0  # how often all was forgotten
        self._trouble = ""  # why the finder could not be asked the last time
        self._is_told = False  # whether the log says so
        when_others_committed(base.connection, self._changed)
        when_changed(base.connection, lambda obj: self._changed([obj._p_oid] if obj._p_oid else []))

    def find(self, predicate: Predicate) -> Pairs:
        """The matching ``(run, job)`` pairs in the connection's present view, by run number."""
        return self.found(predicate).pairs()

    def found(self, predicate: Predicate) -> Found:
        """The matching pairs, by run number, whose objects are made on demand."""
        if predicate.run_ids is not None:
            return Found(self.among(predicate.run_ids, predicate), _nothing, self._base.load)
        can_search = self._catch_up()
        matching = self._matching.pop(predicate, None)
        if matching is None:
            if can_search:
                matching = self._searched(predicate)
            while len(self._matching) >= PREDICATES_MAX:
                del self._matching[next(iter(self._matching))]  # the least recently used one
        if matching is None:
            if self._numbers is None:
                self._forget()  # a finder's runs are kept up to date in another way
            matching = Matching(NEVER)
            numbers = set(self._base.runs.entries.keys())
            self._update(predicate, matching)
            self._numbers = numbers
            self._say(len(numbers))
        else:
            self._update(predicate, matching)
        self._matching[predicate] = matching
        return Found(matching.in_order(), partial(self._made, matching), self._base.load)

    def _searched(self, predicate: Predicate) -> Matching | None:
        """What a finder finds; ``None`` if it cannot be asked."""
        try:
            if self._numbers is not None:
                self._searches.check()
                self._forget()  # runs that were all looked at are kept up to date in another way
                self._unknown.update(self._pending)
                if not self._note_changes():
                    return None
            return self._searches.matching(predicate, self._before)
        except CannotFind as error:
            self._trouble = str(error)
            return None

    def _made(self, matching: Matching, stored: Records) -> Pair:
        connection = self._base.connection
        run = object_at(connection, stored.run, RunZEO)
        pair = run, object_at(connection, stored.job, JobZEO)
        matching.made(stored, pair)
        return pair

    def changed_since(self, mark: int) -> tuple[set[int] | None, int]:
        """The runs that have changed since a mark, or whose jobs have, and a new mark.

        ``None`` if these are not known, as for the mark ``NEVER``. A run that was looked at before
        it was saved must be looked at again afterwards for its changes to be known.
        """
        self._catch_up()
        if mark < self._oldest:
            return None, self._now
        return set(self._since(mark)), self._now

    def pair(self, number: int) -> tuple[Any, Any] | None:
        """A run and its job, whose changes are noted from now on; ``None`` if one is missing."""
        run = self._base.runs.entries.get(number)
        if run is None:
            return None
        self._note(number, run)
        try:
            job = job_of(self._base.jobs.entries, run.entries)
        except NoJob as error:
            self._leave_out(number, error)
            return None
        self._jobs.update(oid for oid in (job._p_oid, *_oids(job.entries)) if oid is not None)
        return run, job

    def meets(self, predicate: Predicate, run: Any, job: Mapping[str, Any]) -> bool:
        """Whether a run, and its job's entries, meet a predicate.

        Raises ``ConstraintError`` if a constraint asks for an order that a value does not have.
        """
        # `run.y = 1` with an undeclared y makes an attribute of the run itself, not an entry.
        # Motoko's own entries are looked up there, too: they are stored under other keys.
        entries = DocumentedEntries(run.entries, vars(run)) if predicate.undeclared else run.entries
        try:
            return predicate(entries, job)
        except ConstraintError as error:
            text = f"study {self._base.study.name}: {error}"
            raise ConstraintError(text, hint=error.hint) from None

    def among(self, numbers: Iterable[int], predicate: Predicate) -> list[tuple[Any, Any]]:
        """The matching pairs among the runs with these numbers."""
        pairs = (pair for number in sorted(numbers) if (pair := self.pair(number)) is not None)
        return [(run, job) for run, job in pairs if self.meets(predicate, run, job.entries)]

    def _catch_up(self) -> bool:
        """Note what has changed. Returns whether a finder can be asked for all other runs."""
        self._compact()
        self._before = self._now
        container = self._base.runs.entries
        if container is not self._container:
            self._forget()  # another database has taken its place
            self._container = container
        # Pending objects may have been changed again, unnoticed, or aborted.
        self._changed(self._pending)
        for number in self._pending_runs:
            self._note_change(number)
        self._pending = [obj._p_oid for obj in changed_objects(self._base.connection) if obj._p_oid]
        times = self._forgotten
        self._changed(self._pending)
        if self._forgotten > times:  # when only some of them were noted
            self._unknown.update(self._pending)
        return self._note_changes()

    def _note_changes(self) -> bool:
        can_search = self._resolve()
        self._view = view_of(self._base.connection)
        self._pending_runs = set(self._since(self._before)) if self._pending else set()
        return can_search

    def _resolve(self) -> bool:
        """Note the runs that the unknown records belong to; whether a finder can be asked."""
        if self._numbers is not None:
            if self._unknown:
                self._look_at_container(self._numbers)
            return True
        since: bytes | None = self._view
        if not self._matching:
            since = None
            self._unknown.intersection_update(self._pending)
        if not self._unknown:
            return True
        try:
            owners = self._searches.owners(self._unknown, since)
        except CannotFind as error:
            self._forget()
            self._trouble = str(error)
            return False
        if owners is None:
            self._forget()
            self._changed(self._pending)
            return self._resolve()
        run_of, others = owners
        self._run_of |= run_of
        for number in others.union(run_of.values()):
            self._note_change(number)
        self._unknown.clear()
        return True

    def _look_at_container(self, known: set[int]) -> None:
        numbers = set(self._container.keys())
        for number in numbers ^ known:
            self._note_change(number)
        self._numbers = numbers
        self._unknown.clear()

    def carried(self, names: Collection[str]) -> set[str] | None:
        """The names that any run carries; ``None`` if only a look at all runs can tell."""
        try:
            return self._searches.carried(names, self._pending_runs) if self._catch_up() else None
        except CannotFind:
            return None

    def _say(self, runs: int) -> None:
        """Log, once, that runs have to be looked at one by one."""
        if self._base.finder is not None and not self._is_told:
            self._is_told = True
            log.log(
                logging.WARNING if runs >= MANY else logging.INFO,
                "study %s: its mirror cannot be asked, and %d runs were looked at: %s",
                *(self._base.study.name, runs, self._trouble),
            )

    def _note_change(self, number: int) -> None:
        self._now += 1
        self._changed_at[number] = self._now
        self._changed_at.move_to_end(number)

    def _compact(self) -> None:
        """Drop the older half of the changes, and the predicates not asked for since.

        Does so when more runs have been changed, or deleted, than there are.
        """
        count = len(self._changed_at)
        if count <= max(CHANGED_MIN, len(self._numbers or ())):
            return
        half = next(itertools.islice(self._changed_at.values(), count // 2, None))
        self._matching = {
            predicate: matching
            for predicate, matching in self._matching.items()
            if matching.seen >= half
        }
        while self._changed_at and next(iter(self._changed_at.values())) <= half:
            self._changed_at.popitem(last=False)
        self._oldest = half if self._matching else self._now

    def _changed(self, oids: Iterable[bytes] | None) -> None:
        """Note changed records; ``None`` if they are not known."""
        if oids is None:
            self._forget()
            return
        for oid in oids:
            number = self._run_of.get(oid)
            if number is not None:
                self._note_change(number)
            elif oid in self._jobs:
                self._forget()
            else:
                if self._numbers is not None:
                    self._unknown.clear()  # one is enough: it does not matter which
                self._unknown.add(oid)
        if len(self._unknown) > UNKNOWN_MAX:
            self._forget()

    def _forget(self) -> None:
        self._forgotten += 1
        self._now += 1
        self._oldest = self._now
        self._matching.clear()
        self._changed_at.clear()
        self._run_of.clear()
        self._jobs.clear()
        self._searches.forget()
        self._unknown.clear()
        self._pending_runs.clear()
        self._numbers = None

    def _update(self, predicate: Predicate, matching: Matching) -> None:
        jobs = self._base.jobs.entries
        unsaved = set()
        for number, run in self._base.loaded(self._stale(matching)):
            if run is None:
                matching.remove(number)
                continue
            if not self._note(number, run):
                unsaved.add(number)
            try:
                if self.meets(predicate, run, _LateJob(jobs, run.entries, self._jobs)):
                    matching.add(number, (run, job_of(jobs, run.entries)))
                    continue
            except NoJob as error:
                self._leave_out(number, error)
            matching.remove(number)
        matching.seen, matching.unsaved = self._now, unsaved
        matching.unsure.clear()

    def _leave_out(self, number: int, error: NoJob) -> None:
        if number not in self._left_out:
            self._left_out.add(number)
            study = self._base.study.name
            log.warning(
                "run %s.%d is left out: %s; `motoko clean --delete %s.%d` removes it",
                *(study, number, error, study, number),
            )

    def _stale(self, matching: Matching) -> Iterable[tuple[int, Any]]:
        """The runs that have to be looked at (again), by number; ``None`` for those deleted."""
        runs = self._base.runs.entries
        if matching.seen == NEVER:
            everything: Iterable[tuple[int, Any]] = runs.items()
            return everything
        numbers = matching.unsaved.union(self._since(matching.seen))
        unsure, connection = matching.unsure, self._base.connection
        return (
            (number, runs.get(number))
            if number in numbers
            else (number, object_at(connection, unsure[number], RunZEO))
            for number in sorted(numbers | unsure.keys())
        )

    def _since(self, seen: int) -> Iterator[int]:
        """The runs that have changed since the change ``seen``."""
        newer = itertools.takewhile(
            lambda change: change[1] > seen, reversed(self._changed_at.items())
        )
        return (number for number, _ in newer)

    def _note(self, number: int, run: Any) -> bool:
        """Note a run's records. Returns whether all can be recognised: new ones cannot."""
        oids = [run._p_oid, *_oids(run.entries)]
        for oid in oids:
            if oid is not None:
                self._run_of[oid] = number
        return None not in oids


class _LateJob(Mapping[str, Any]):
    """A job's entries, loaded when a constraint asks for one; the job's records are noted."""

    __slots__ = ("_jobs", "_run", "_seen")

    def __init__(self, jobs: Mapping[int, Any], run: Mapping[str, Any], seen: set[bytes]) -> None:
        self._jobs, self._run, self._seen = jobs, run, seen

    def _entries(self) -> Any:
        job = job_of(self._jobs, self._run)
        self._seen.update(oid for oid in (job._p_oid, *_oids(job.entries)) if oid is not None)
        return job.entries

    def __getitem__(self, name: str) -> Any:
        return self._entries()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())


def _oids(entries: Any) -> list[bytes | None]:
    return [record._p_oid for record in records(entries)]


def _nothing(stored: Records) -> Pair:
    raise AssertionError(stored)
