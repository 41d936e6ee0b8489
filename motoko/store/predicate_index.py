"""Many predicates, found by the values that a run has. Pure logic."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from motoko.store.literals import INCOMPARABLE, plain
from motoko.store.predicates import SIMPLE, Field, Predicate, Range
from motoko.store.range_index import Ranges

Place = tuple[Field, bool]  # a field, and whether it is looked up among undeclared names, too


class PredicateIndex:
    """Predicates, and which of them a run may meet: so not all of them have to be tested.

    A predicate that asks for a value (``x = 17``) is filed under this value, and one that asks for
    a range of numbers (``x > 16, x < 18``) under this range. One that asks for several values
    (``run_name = fine, x = 17``) is filed under the one that the fewest others ask for.
    """

    def __init__(self) -> None:
        self._filed: dict[Place, _Values] = {}
        self._ranges: dict[Place, Ranges] = {}
        self._others: dict[Predicate, None] = {}  # they ask for neither
        self._where: dict[Predicate, tuple[Place, frozenset[Any] | None] | None] = {}

    def __contains__(self, predicate: object) -> bool:
        return predicate in self._where

    def __iter__(self) -> Iterator[Predicate]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def add(self, predicate: Predicate) -> None:
        """File a predicate, once."""
        if predicate in self._where:
            return
        is_undeclared = bool(predicate.undeclared)
        pins = [((where, is_undeclared), values) for where, values in predicate.pins]
        pin = min(pins, key=lambda pin: self._crowd(*pin), default=None)
        if pin is None or self._crowd(*pin):
            ranges = [
                ((where, is_undeclared), wanted) for where, wanted in predicate.ranges.items()
            ]
            best = min(ranges, key=lambda filing: self._crowd_in(*filing), default=None)
            if best and (pin is None or self._crowd_in(*best) < self._crowd(*pin)):
                place, wanted = best
                self._where[predicate] = place, None
                self._ranges.setdefault(place, Ranges()).add(predicate, wanted)
                return
        self._where[predicate] = pin
        if pin is None:
            self._others[predicate] = None
            return
        place, values = pin
        self._filed.setdefault(place, _Values()).add(predicate, values)

    def discard(self, predicate: Predicate) -> None:
        """Take a predicate out."""
        if predicate not in self._where:
            return
        pin = self._where.pop(predicate)
        if pin is None:
            del self._others[predicate]
            return
        place, values = pin
        if values is None:
            ranges = self._ranges[place]
            ranges.remove(predicate)
            if not ranges.all:
                del self._ranges[place]
            return
        filed = self._filed[place]
        filed.remove(predicate, values)
        if not filed.all:
            del self._filed[place]

    def candidates(
        self,
        run: Mapping[str, Any],
        documented: Mapping[str, Any],
        job: Callable[[], Mapping[str, Any]],
    ) -> list[Predicate]:
        """The predicates that a run may meet; it does not meet the others.

        Args:
            run: the run's entries.
            documented: the run's entries and attributes, in which undeclared names are looked up.
            job: gives the entries of the run's job; called only if a field of jobs is looked up.
        """
        candidates: dict[Predicate, None] = {}
        places: Iterable[tuple[Place, _Values | Ranges]]
        places = itertools.chain(self._filed.items(), self._ranges.items())
        for ((side, name), undeclared), filed in places:
            source = job() if side == "jobs" else documented if undeclared else run
            candidates.update(dict.fromkeys(filed.holding(source.get(name))))
        candidates.update(self._others)
        return list(candidates)

    def _crowd(self, place: Place, values: frozenset[Any]) -> int:
        filed = self._filed.get(place)
        return filed.crowd(values) if filed else 0

    def _crowd_in(self, place: Place, wanted: Range) -> int:
        ranges = self._ranges.get(place)
        return ranges.crowd(wanted) if ranges else 0


class _Values:
    """The predicates that ask for values of one field.

    Attributes:
        all: all of them.
    """

    def __init__(self) -> None:
        self.all: dict[Predicate, None] = {}
        self._by_value: dict[Any, dict[Predicate, None]] = {}

    def add(self, predicate: Predicate, values: Iterable[Any]) -> None:
        self.all[predicate] = None
        for value in values:
            self._by_value.setdefault(value, {})[predicate] = None

    def remove(self, predicate: Predicate, values: Iterable[Any]) -> None:
        del self.all[predicate]
        for value in values:
            asking = self._by_value[value]
            del asking[predicate]
            if not asking:
                del self._by_value[value]

    def crowd(self, values: Iterable[Any]) -> int:
        return sum(len(self._by_value.get(value, ())) for value in values)

    def holding(self, value: Any) -> dict[Predicate, None]:
        """The predicates that may hold for a value."""
        try:
            value = plain(value)
        except INCOMPARABLE:
            return self.all
        is_simple = value is None or type(value) in SIMPLE
        return self._by_value.get(value, {}) if is_simple else self.all
