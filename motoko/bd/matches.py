"""Which runs meet a predicate: found once, then kept up to date by what has changed.

So asking again costs what has changed since, and not what the study holds. ZODB tells which
records others have committed, and which the own thread has changed; whoever asks sees exactly what
a search of all runs in the same view would find.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from BTrees.OOBTree import OOBTree

from motoko.bd.trees import children
from motoko.constraints import Predicate

if TYPE_CHECKING:
    from motoko.bd.base import StudyBase
PREDICATES_MAX = 1000


class Matches:
    """The matching runs of one study's connection, by predicate."""

    def __init__(self, base: StudyBase) -> None:
        self._base = base
        self._found: dict[Predicate, _Found] = {}
        self._container: Any = None  # the study's runs, as they were searched
        self._numbers: set[int] = set()  # of all runs, when the container was last looked at
        self._container_changed = True
        self._run_of: dict[bytes, int] = {}  # whose record it is
        self._jobs: set[bytes] = set()  # records of jobs that were looked at
        self._pending: list[bytes] = []  # changed, but not committed, at the last search
        _watch(base.connection, self._changed)

    def find(self, predicate: Predicate) -> list[tuple[Any, Any]]:
        """The matching ``(run, job)`` pairs in the connection's present view, by run number."""
        if predicate.run_ids is not None:
            return self._among(predicate.run_ids, predicate)
        self._catch_up()
        found = self._found.pop(predicate, None)
        if found is None:
            found = _Found(set(self._numbers))
            while len(self._found) >= PREDICATES_MAX:
                del self._found[next(iter(self._found))]  # the one that was not used for longest
        self._update(predicate, found)
        self._found[predicate] = found
        return found.in_order()

    def meets(self, predicate: Predicate, run: Any, job: Mapping[str, Any]) -> bool:
        """Whether a run, and its job's entries, meet a predicate."""
        # `run.y = 1` of an undeclared y makes an attribute of the run itself, not an entry.
        values = ChainMap(run.entries, vars(run)) if predicate.undeclared else run.entries
        return predicate(values, job)

    def _among(self, numbers: Iterable[int], predicate: Predicate) -> list[tuple[Any, Any]]:
        runs, jobs = self._base.runs.entries, self._base.jobs.entries
        candidates = [runs[number] for number in sorted(numbers) if number in runs]
        pairs = [(run, jobs[run.entries["job_id"]]) for run in candidates]
        return [(run, job) for run, job in pairs if self.meets(predicate, run, job.entries)]

    def _catch_up(self) -> None:
        # What is pending may have been changed again, unnoticed, or aborted.
        self._changed(self._pending)
        self._pending = [
            obj._p_oid for obj in self._base.connection._registered_objects if obj._p_oid
        ]
        self._changed(self._pending)
        if not self._container_changed:
            return
        container = self._base.runs.entries
        if container is not self._container:
            self._forget()  # another database has taken its place
            self._container = container
        numbers = set(container.keys())
        for found in self._found.values():
            found.stale |= numbers ^ self._numbers
        self._numbers = numbers
        self._container_changed = False

    def _changed(self, oids: Iterable[bytes] | None) -> None:
        """Note changed records; ``None`` if it is not known which."""
        if oids is None:
            self._forget()
            return
        for oid in oids:
            number = self._run_of.get(oid)
            if number is not None:
                for found in self._found.values():
                    found.stale.add(number)
            elif oid in self._jobs:
                self._forget()
            else:
                self._container_changed = True

    def _forget(self) -> None:
        self._found.clear()
        self._run_of.clear()
        self._jobs.clear()
        self._container_changed = True

    def _update(self, predicate: Predicate, found: _Found) -> None:
        jobs = self._base.jobs.entries
        unsaved = set()
        for number, run in self._base.loaded(self._numbered(found.stale)):
            if run is None:
                found.remove(number)
                continue
            if not self._note(number, run):
                unsaved.add(number)
            entries = run.entries
            if self.meets(predicate, run, _LateJob(jobs, entries["job_id"], self._jobs)):
                found.add(number, (run, jobs[entries["job_id"]]))
            else:
                found.remove(number)
        found.stale = unsaved

    def _numbered(self, numbers: set[int]) -> Iterable[tuple[int, Any]]:
        runs = self._base.runs.entries
        if numbers == self._numbers:
            everything: Iterable[tuple[int, Any]] = runs.items()
            return everything
        return ((number, runs.get(number)) for number in sorted(numbers))

    def _note(self, number: int, run: Any) -> bool:
        """Note whose records these are; whether all of them can be recognised: new ones cannot."""
        oids = [run._p_oid, *_oids(run.entries)]
        for oid in oids:
            if oid is not None:
                self._run_of[oid] = number
        return None not in oids


class _Found:
    """What meets a predicate, and what has to be looked at again."""

    def __init__(self, stale: set[int]) -> None:
        self.stale = stale
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

    __slots__ = ("_jobs", "_number", "_seen")

    def __init__(self, jobs: Mapping[int, Any], number: int, seen: set[bytes]) -> None:
        self._jobs, self._number, self._seen = jobs, number, seen

    def _entries(self) -> Any:
        job = self._jobs[self._number]
        self._seen.update(oid for oid in (job._p_oid, *_oids(job.entries)) if oid is not None)
        return job.entries

    def __getitem__(self, name: str) -> Any:
        return self._entries()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())


def _oids(tree: OOBTree) -> list[bytes | None]:
    """The records that hold a tree: itself, and the leaves that a large one has."""
    return [tree._p_oid, *(leaf._p_oid for leaf in children(tree))]


def _watch(connection: Any, changed: Callable[[Iterable[bytes] | None], None]) -> None:
    """Tell of the records that others have committed, and of those that are changed here."""
    storage = connection._storage
    poll, register = storage.poll_invalidations, connection.register

    def polled() -> Any:
        oids = poll()
        changed(oids)
        return oids

    def registered(obj: Any) -> None:
        register(obj)
        changed([obj._p_oid] if obj._p_oid else [])

    storage.poll_invalidations = polled
    connection.register = registered
