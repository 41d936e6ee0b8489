"""Which runs meet a predicate: found once, then kept up to date by what has changed.

So asking again costs what has changed since, and not what the study holds. A change is noted once,
however many predicates there are: each of them looks back as far as it has to. ZODB tells which
records others have committed, and which the own thread has changed; whoever asks sees exactly what
a search of all runs in the same view would find.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from motoko.config import StudyConfig
from motoko.errors import ConstraintError
from motoko.runs.entries import DocumentedEntries
from motoko.store.internals.connections import (
    changed_objects,
    when_changed,
    when_others_committed,
)
from motoko.store.jobs_of_runs import NoJob, job_of
from motoko.store.predicates import Predicate
from motoko.store.trees import records

log = logging.getLogger(__name__)

PREDICATES_MAX = 1000
NEVER = -1
CHANGED_MIN = 1000  # so many changed runs are kept, also of a study that has fewer


class Searched(Protocol):
    """What of a study's base is searched."""

    study: StudyConfig
    connection: Any
    runs: Any
    jobs: Any

    def loaded(self, numbered: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Runs by number (``None``: there is none), their entries loaded."""


class Matches:
    """The matching runs of one study's connection, by predicate."""

    def __init__(self, base: Searched) -> None:
        self._base = base
        self._matching: dict[Predicate, _Matching] = {}
        self._container: Any = None  # the study's runs, as they were searched
        self._numbers: set[int] = set()  # of all runs, when the container was last looked at
        self._container_changed = True
        self._now = 0  # counts changes
        self._changed_at: OrderedDict[int, int] = OrderedDict()  # runs, the last changed at the end
        self._run_of: dict[bytes, int] = {}  # whose record it is
        self._jobs: set[bytes] = set()  # records of jobs that were looked at
        self._left_out: set[int] = set()  # runs that are told to have no job
        self._pending: list[bytes] = []  # changed, but not committed, at the last search
        when_others_committed(base.connection, self._changed)
        when_changed(base.connection, lambda obj: self._changed([obj._p_oid] if obj._p_oid else []))

    def find(self, predicate: Predicate) -> list[tuple[Any, Any]]:
        """The matching ``(run, job)`` pairs in the connection's present view, by run number."""
        if predicate.run_ids is not None:
            return self._among(predicate.run_ids, predicate)
        self._catch_up()
        matching = self._matching.pop(predicate, None)
        if matching is None:
            matching = _Matching()
            while len(self._matching) >= PREDICATES_MAX:
                del self._matching[
                    next(iter(self._matching))
                ]  # the one that was not used for longest
        self._update(predicate, matching)
        self._matching[predicate] = matching
        return matching.in_order()

    def meets(self, predicate: Predicate, run: Any, job: Mapping[str, Any]) -> bool:
        """Whether a run, and its job's entries, meet a predicate.

        Raises ``ConstraintError`` where a value has no order that is asked for.
        """
        # `run.y = 1` of an undeclared y makes an attribute of the run itself, not an entry.
        # So do Motoko's own entries: they are stored under other keys.
        entries = DocumentedEntries(run.entries, vars(run)) if predicate.undeclared else run.entries
        try:
            return predicate(entries, job)
        except ConstraintError as error:
            text = f"study {self._base.study.name}: {error}"
            raise ConstraintError(text, hint=error.hint) from None

    def _among(self, numbers: Iterable[int], predicate: Predicate) -> list[tuple[Any, Any]]:
        runs, jobs = self._base.runs.entries, self._base.jobs.entries
        candidates = {number: runs[number] for number in sorted(numbers) if number in runs}
        pairs = []
        for number, run in candidates.items():
            try:
                job = job_of(jobs, run.entries)
            except NoJob as error:
                self._leave_out(number, error)
            else:
                if self.meets(predicate, run, job.entries):
                    pairs.append((run, job))
        return pairs

    def _catch_up(self) -> None:
        # What is pending may have been changed again, unnoticed, or aborted.
        self._changed(self._pending)
        self._pending = [obj._p_oid for obj in changed_objects(self._base.connection) if obj._p_oid]
        self._changed(self._pending)
        if self._container_changed:
            self._look_at_container()
        self._compact()

    def _look_at_container(self) -> None:
        container = self._base.runs.entries
        if container is not self._container:
            self._forget()  # another database has taken its place
            self._container = container
        numbers = set(container.keys())
        for number in numbers ^ self._numbers:
            self._note_change(number)
        self._numbers = numbers
        self._container_changed = False

    def _note_change(self, number: int) -> None:
        self._now += 1
        self._changed_at[number] = self._now
        self._changed_at.move_to_end(number)

    def _compact(self) -> None:
        """Drop the older half of the changes, and what has not been asked for since.

        That is when more runs have been changed, and deleted, than there are.
        """
        count = len(self._changed_at)
        if count <= max(CHANGED_MIN, len(self._numbers)):
            return
        half = next(itertools.islice(self._changed_at.values(), count // 2, None))
        self._matching = {
            predicate: matching
            for predicate, matching in self._matching.items()
            if matching.seen >= half
        }
        while self._changed_at and next(iter(self._changed_at.values())) <= half:
            self._changed_at.popitem(last=False)

    def _changed(self, oids: Iterable[bytes] | None) -> None:
        """Note changed records; ``None`` if it is not known which."""
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
                self._container_changed = True

    def _forget(self) -> None:
        self._matching.clear()
        self._changed_at.clear()
        self._run_of.clear()
        self._jobs.clear()
        self._container_changed = True

    def _update(self, predicate: Predicate, matching: _Matching) -> None:
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

    def _leave_out(self, number: int, error: NoJob) -> None:
        if number not in self._left_out:
            self._left_out.add(number)
            study = self._base.study.name
            log.warning(
                "run %s.%d is left out: %s; `motoko clean --delete %s.%d` removes it",
                *(study, number, error, study, number),
            )

    def _stale(self, matching: _Matching) -> Iterable[tuple[int, Any]]:
        """The runs that have to be looked at (again), by number; ``None`` for those deleted."""
        runs = self._base.runs.entries
        if matching.seen == NEVER:
            everything: Iterable[tuple[int, Any]] = runs.items()
            return everything
        newer = itertools.takewhile(
            lambda change: change[1] > matching.seen, reversed(self._changed_at.items())
        )
        numbers = matching.unsaved.union(number for number, _ in newer)
        return ((number, runs.get(number)) for number in sorted(numbers))

    def _note(self, number: int, run: Any) -> bool:
        """Note whose records these are; whether all of them can be recognised: new ones cannot."""
        oids = [run._p_oid, *_oids(run.entries)]
        for oid in oids:
            if oid is not None:
                self._run_of[oid] = number
        return None not in oids


class _Matching:
    """What meets a predicate, and which changes that takes into account.

    Attributes:
        seen: the last of them, as ``Matches`` counts.
        unsaved: runs that have to be looked at each time: their records are not known yet.
    """

    def __init__(self) -> None:
        self.seen = NEVER
        self.unsaved: set[int] = set()
        self._pairs: dict[int, tuple[Any, Any]] = {}
        self._sorted = True

    def add(self, number: int, pair: tuple[Any, Any]) -> None:
        self._sorted = self._sorted and (number in self._pairs or self._is_last(number))
        self._pairs[number] = pair

    def remove(self, number: int) -> None:
        self._pairs.pop(number, None)

    def in_order(self) -> list[tuple[Any, Any]]:
        if not self._sorted:
            self._pairs = dict(sorted(self._pairs.items()))
            self._sorted = True
        return list(self._pairs.values())

    def _is_last(self, number: int) -> bool:
        return not self._pairs or number > next(reversed(self._pairs))


class _LateJob(Mapping[str, Any]):
    """A job's entries, loaded when a constraint asks for one; which they were is noted."""

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
