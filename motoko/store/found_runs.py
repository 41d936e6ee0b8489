"""Runs that were found, with their jobs: loaded when they are read, many per round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, overload

from motoko.store.trees import is_tree

Pair = tuple[Any, Any]
Load = Callable[[list[Any]], None]

FIRST, AT_ONCE = 20, 500  # pairs that are loaded together


class Pairs(list[Pair]):
    """``(run, job)`` pairs. Iterating loads the pairs that come next."""

    def __init__(self, pairs: Iterable[Pair], load: Load) -> None:
        super().__init__(pairs)
        self._load = load

    def __iter__(self) -> Iterator[Pair]:
        return loaded_ahead(super().__iter__(), self._load)


class Records(NamedTuple):
    """A run and its job, by their records' oids: their objects are not made yet."""

    number: int
    run: bytes
    job: bytes


class Found(Sequence[Pair]):
    """The runs that meet a predicate in one view; their objects are made on demand.

    Args:
        runs: the runs, in order.
        made: makes a pair from records.
        load: loads objects.
    """

    def __init__(
        self, runs: Sequence[Pair | Records], made: Callable[[Records], Pair], load: Load
    ) -> None:
        self._runs = runs
        self._made = made
        self._load = load

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...

    @overload
    def __getitem__(self, index: slice) -> Pairs: ...

    def __getitem__(self, index: int | slice) -> Pair | Pairs:
        if isinstance(index, slice):
            return Pairs(map(self._pair, self._runs[index]), self._load)
        return self._pair(self._runs[index])

    def __iter__(self) -> Iterator[Pair]:
        return loaded_ahead(map(self._pair, self._runs), self._load)

    def pairs(self) -> Pairs:
        """All of them."""
        return Pairs(map(self._pair, self._runs), self._load)

    def _pair(self, run: Pair | Records) -> Pair:
        return self._made(run) if isinstance(run, Records) else run


class Matching:
    """The runs that meet a predicate, and the changes that are taken into account.

    Attributes:
        seen: the last of these changes, as ``Matches`` counts them.
        unsaved: runs that must be looked at each time: their records are not known yet.
        unsure: runs that must still be looked at, with their records.
    """

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self.unsaved: set[int] = set()
        self.unsure: dict[int, bytes] = {}
        self._runs: dict[int, Pair | Records] = {}
        self._sorted = True

    def add(self, number: int, run: Pair | Records) -> None:
        """A run meets the predicate."""
        self._sorted = self._sorted and (number in self._runs or self._is_last(number))
        self._runs[number] = run

    def remove(self, number: int) -> None:
        """A run does not meet the predicate."""
        self._runs.pop(number, None)

    def made(self, records: Records, pair: Pair) -> None:
        """The objects of a run were made."""
        if self._runs.get(records.number) is records:
            self._runs[records.number] = pair

    def in_order(self) -> list[Pair | Records]:
        """All runs that meet the predicate, by number."""
        if not self._sorted:
            self._runs = dict(sorted(self._runs.items()))
            self._sorted = True
        return list(self._runs.values())

    def _is_last(self, number: int) -> bool:
        return not self._runs or number > next(reversed(self._runs))


def loaded_ahead(pairs: Iterator[Pair], load: Load) -> Iterator[Pair]:
    """The pairs, with their objects loaded ahead."""
    size = FIRST
    while batch := list(islice(pairs, size)):
        _load(load, [run for run, _ in batch])
        _load(load, [job for _, job in batch])
        yield from batch
        size = AT_ONCE


def _load(load: Load, owners: list[Any]) -> None:
    """Have the content of objects, and of their entries, in memory."""
    ghosts = [
        owner
        for owner in owners
        if owner._p_changed is None or getattr(owner.entries, "_p_changed", False) is None
    ]
    if ghosts:
        load(ghosts)
        for owner in ghosts:
            if is_tree(owner.entries):
                owner.entries._p_activate()  # else the next iteration would load them again
