"""Searching a study's runs by what finds them, and what has changed beside that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from motoko.runs.entries import DocumentedEntries
from motoko.store.found_runs import Matching, Records
from motoko.store.internals.connections import view_of
from motoko.store.predicates import Predicate
from motoko.store.run_finders import CannotFind, FoundMoment, RunFinder
from motoko.store.tree_differences import difference, in_memory, stored_at


class Findable(Protocol):
    """What of a study's base a finder needs."""

    connection: Any
    runs: Any
    finder: RunFinder | None

    @property
    def tid(self) -> bytes:
        """The newest transaction that this process has been told of."""

    def ask_tid(self) -> bytes:
        """The server's newest transaction."""

    @property
    def witness(self) -> bytes:
        """What tells the database from another."""

    def loaded(self, numbered: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Runs by number (``None``: there is none), their entries loaded."""


class RunSearches:
    """Asks the finder of a study's base. Everything raises ``CannotFind`` where it cannot tell."""

    def __init__(self, base: Findable) -> None:
        self._base = base
        self._nodes: set[bytes] = set()  # of the tree of all runs, those that were looked at

    def forget(self) -> None:
        """Another database has taken the place of the one that was searched."""
        self._nodes.clear()

    def check(self) -> None:
        """Nothing, if something can be found just now."""
        with self._moment():
            pass

    def matching(self, predicate: Predicate, seen: int) -> Matching:
        """What meets a predicate, and what is still to be looked at.

        Args:
            predicate: likewise.
            seen: the last change that is not looked at again.
        """
        matching = Matching(seen)
        with self._moment() as moment:
            matching.unsaved = changed = self._changed(moment)
            candidates = moment.candidates(predicate)
            for number, record, job in candidates.runs:
                if number in changed:
                    continue
                if candidates.are_exact and job is not None:
                    matching.add(number, Records(number, record, job))
                else:
                    matching.unsure[number] = record
        return matching

    def owners(
        self, records: set[bytes], since: bytes | None
    ) -> tuple[dict[bytes, int], set[int]] | None:
        """The runs whose records were changed, by record; and runs that have changed otherwise.

        Args:
            records: that were changed. They may be any object's.
            since: the view before; ``None``: that of now, but for own changes.

        Returns:
            ``None`` if it cannot be told of a record whether it was a run's.
        """
        connection = self._base.connection
        with self._moment() as moment:
            owners = moment.owners(records)
            nodes = owners.nodes | (records & self._nodes)
            known = nodes | owners.runs.keys() | owners.jobs.keys() | owners.job_nodes
            # What is not known is new, and so not yet anybody's; or it is no more.
            if moment.is_ahead and since is not None and not records <= known:
                return None
            then = stored_at(connection.db().storage, since or view_of(connection))
            changed, there = difference(nodes, then, in_memory(connection))
            self._nodes |= there
            changed.update(moment.runs_of(owners.jobs.values()))
            return owners.runs, changed

    def carried(self, names: Collection[str], pending: set[int]) -> set[str]:
        """The names that some run carries; those of runs with pending changes are looked at."""
        with self._moment() as moment:
            changed = self._changed(moment) | pending
            carried = moment.carried(names, changed)
        runs = self._base.runs.entries
        for _, run in self._base.loaded((number, runs.get(number)) for number in sorted(changed)):
            if run is not None:
                carried |= DocumentedEntries(run.entries, vars(run)).keys() & set(names)
        return carried

    @contextmanager
    def _moment(self) -> Iterator[FoundMoment]:
        if self._base.finder is None:
            raise CannotFind("nobody has asked for it")
        with self._base.finder.moment(self._base) as moment:
            tree = self._base.runs.entries._p_oid
            if tree is None or not moment.owners([tree]).nodes:
                raise CannotFind("other runs have taken the place of those that it knows")
            yield moment

    def _changed(self, moment: FoundMoment) -> set[int]:
        """The runs that are others in the present view than at a moment."""
        if not moment.changed:
            return set()
        owners = moment.owners(moment.changed)
        now = in_memory(self._base.connection)
        changed, there = difference(owners.nodes, moment.node, now)
        jobs, _ = difference(owners.job_nodes, moment.node, now)
        self._nodes |= there
        changed.update(owners.runs.values(), moment.runs_of(jobs.union(owners.jobs.values())))
        return changed
