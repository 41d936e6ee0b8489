"""Many predicates that ask for numbers in a range, found by a number. Pure logic."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import Any

from motoko.store.literals import INCOMPARABLE, plain
from motoko.store.predicates import Predicate, Range

_Entry = tuple[float, int, Predicate]  # a bound, and a count to tell equal bounds apart
_ABOVE, _BELOW = "above", "below"
_SLACK = 1 + 1e-9  # floats are rounded


class Ranges:
    """The predicates that ask for a number in a range in one field.

    Ranges of about the same width are kept together, sorted by where they begin: one that holds a
    number begins no further below it than this width. Ranges with one end are sorted by this end.

    Attributes:
        all: all of them.
    """

    def __init__(self) -> None:
        self.all: dict[Predicate, None] = {}
        self._groups: dict[str | int, list[_Entry]] = {}
        self._places: dict[Predicate, tuple[str | int, _Entry]] = {}
        self._count = itertools.count()

    def add(self, predicate: Predicate, wanted: Range) -> None:
        """File a predicate that is not filed yet."""
        group, bound = _filed(wanted)
        entry = bound, next(self._count), predicate
        insort(self._groups.setdefault(group, []), entry)
        self._places[predicate] = group, entry
        self.all[predicate] = None

    def remove(self, predicate: Predicate) -> None:
        """Take out a predicate that is filed."""
        del self.all[predicate]
        group, entry = self._places.pop(predicate)
        entries = self._groups[group]
        del entries[bisect_left(entries, entry)]
        if not entries:
            del self._groups[group]

    def crowd(self, wanted: Range) -> int:
        """How many filed predicates ask for about the same range."""
        group, bound = _filed(wanted)
        entries = self._groups.get(group, [])
        return bisect_right(entries, bound, key=_bound) - bisect_left(entries, bound, key=_bound)

    def holding(self, value: Any) -> Iterable[Predicate]:
        """The predicates that may hold for a value."""
        try:
            value = plain(value)
        except INCOMPARABLE:
            return self.all
        if type(value) not in (int, float):
            return () if value is None else self.all
        if value != value:
            return ()
        try:
            return [
                predicate
                for group, entries in self._groups.items()
                for _, _, predicate in _holding(entries, group, value)
            ]
        except OverflowError:
            return self.all


def _filed(wanted: Range) -> tuple[str | int, float]:
    """The group of a range, and the bound by which it is found there."""
    low, high = wanted
    if low is not None and high is not None:
        _, width = math.frexp(max(high - low, 0.0))  # the range is narrower than 2 ** width
        return width, low
    if low is not None:
        return _ABOVE, low
    assert high is not None
    return _BELOW, high


def _holding(entries: list[_Entry], group: str | int, value: float) -> list[_Entry]:
    if isinstance(group, str):
        if group == _BELOW:
            return entries[bisect_left(entries, value, key=_bound) :]
        return entries[: bisect_right(entries, value, key=_bound)]
    lowest = value - math.ldexp(_SLACK, group) - abs(value) * (_SLACK - 1)
    last = bisect_right(entries, value, key=_bound)
    return entries[bisect_left(entries, lowest, key=_bound) : last]


def _bound(entry: _Entry) -> float:
    return entry[0]
