"""Searching a study's runs with a finder, and among the runs that have changed since."""

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
    """The part of a study's base that a finder needs."""

    connection: Any
    runs: Any
    finder: RunFinder | None

    @property
    def tid(self) -> bytes:
        """The newest transaction that the server has announced to this process."""

    def ask_tid(self) -> bytes:
        """The server's newest transaction."""

    @property
    def witness(self) -> bytes:
        """What tells the database from another."""

    def loaded(self, numbered: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Runs by number (``None``: there is none), their entries loaded."""


class RunSearches:
    """Asks the finder of a study's base. All methods raise ``CannotFind`` if it cannot tell."""

    def __init__(self, base: Findable) -> None:
        self._base = base
        self._nodes: set[bytes] = set()  # nodes of the tree of all runs that were looked at

    def forget(self) -> None:
        """Forget what is known of the runs' tree."""
        self._nodes.clear()

    def check(self) -> None:
        """Raise ``CannotFind`` if the finder cannot be asked just now."""
        with self._moment():
            pass

    def matching(self, predicate: Predicate, seen: int) -> Matching:
        """The runs that meet a predicate, and those that must still be looked at.

        Args:
            predicate: the predicate.
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
        """The runs whose records were changed, by record; and other runs that have changed.

        Args:
            records: the changed records. They may be any object's.
            since: the view before; ``None`` for the present view without its own changes.

        Returns:
            ``None`` if it is unknown of a record whether it was a run's.
        """
        connection = self._base.connection
        with self._moment() as moment:
            owners = moment.owners(records)
            nodes = owners.nodes | (records & self._nodes)
            known = nodes | owners.runs.keys() | owners.jobs.keys() | owners.job_nodes
            # A record that is not known is new, and so no run's yet; or it is gone.
            if moment.is_ahead and since is not None and not records <= known:
                return None
            then = stored_at(connection.db().storage, since or view_of(connection))
            changed, there = difference(nodes, then, in_memory(connection))
            self._nodes |= there
            changed.update(moment.runs_of(owners.jobs.values()))
            return owners.runs, changed

    def carried(self, names: Collection[str], pending: set[int]) -> set[str]:
        """The names that any run carries; runs that have changed or are ``pending`` are read."""
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
            raise CannotFind("there is none")
        with self._base.finder.moment(self._base) as moment:
            tree = self._base.runs.entries._p_oid
            if tree is None or not moment.owners([tree]).nodes:
                raise CannotFind("other runs have taken the place of those that it knows")
            yield moment

    def _changed(self, moment: FoundMoment) -> set[int]:
        """The runs that differ between the present view and a moment."""
        if not moment.changed:
            return set()
        owners = moment.owners(moment.changed)
        now = in_memory(self._base.connection)
        changed, there = difference(owners.nodes, moment.node, now)
        jobs, _ = difference(owners.job_nodes, moment.node, now)
        self._nodes |= there
        changed.update(owners.runs.values(), moment.runs_of(jobs.union(owners.jobs.values())))
        return changed
