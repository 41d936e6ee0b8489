"""Predicates, which constraints compile to: tests of a run's and its job's entries. Pure logic."""

from __future__ import annotations

import decimal
import fractions
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import eq, ge, gt, le, lt
from typing import Any

from motoko.errors import ConstraintError
from motoko.store.internals.unreadable import missing_class
from motoko.store.literals import INCOMPARABLE, literal_or_none, plain

Field = tuple[str, str]  # ("runs" or "jobs", the lower-case name)
Range = tuple[float | None, float | None]  # from and to, both included; None: unbounded
Compare = Callable[[Any, Any], Any]  # gets the field's value, and the other field's if any

COMPARISONS: dict[str, Compare] = {"=": eq, "<": lt, ">": gt, "<=": le, ">=": ge}
_ORDERS = ("<", "<=", ">", ">=")
SIMPLE = (bool, int, float, str)
# Fields that change only with a run's state, or never after its creation.
_TOLD_BY_TRANSITIONS = frozenset({"runs.state", "runs.id", "runs.job_id", "runs.run_name"})
NO_LITERAL = object()  # equals nothing and has no order


class Unordered(Exception):
    """A run's value is of a type without an order, or without one for this comparison."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class FieldTest:
    """One constraint. ``matches`` follows from the other attributes.

    Attributes:
        literals: what values of Python's own simple types are compared with, by type; a value of a
            simple type that is missing here meets nothing. ``None``: only ``matches`` can tell.
    """

    where: Field
    op: str
    operand: str
    kind: type | None
    matches: Compare = field(compare=False, repr=False)
    other: Field | None = None
    run_ids: frozenset[int] | None = None
    literals: Mapping[type, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def is_negated(self) -> bool:
        """Whether the test holds exactly where ``matches`` does not."""
        return self.op.startswith("!")

    @property
    def values(self) -> frozenset[Any] | None:
        """The only ``None`` and simple values that the test holds for; ``None`` if not known.

        Equal values have equal hashes, even if their types differ.
        """
        if self.op != "=" or self.literals is None:
            return None
        none = [None] if self.matches(None, None) else []
        return frozenset([*self.literals.values(), *none])

    @property
    def bound(self) -> float | None:
        """The bound that a number must not exceed for the test to hold; ``None``: there is none.

        If there is a bound, the test does not hold for ``None``.
        """
        if self.op not in _ORDERS or not self.literals or self.other is not None:
            return None
        literal = self.literals.get(float)
        if not isinstance(literal, (int, float)) or self.literals.get(int) != literal:
            return None
        try:
            return float(literal) if float(literal) == literal else None
        except OverflowError:
            return None

    @property
    def always_answers(self) -> bool:
        """Whether the test raises for no readable value."""
        return self.kind is not None or self.op in ("=", "!=") or "~" in self.op

    def __call__(self, run: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
        left = (job if self.where[0] == "jobs" else run).get(self.where[1])
        other = self.other
        right = (job if other[0] == "jobs" else run).get(other[1]) if other else None
        if (missing := missing_class(left) or missing_class(right)) is not None:
            name = self.where[1] if missing_class(left) else other and other[1]
            raise ConstraintError(
                f"run {run.get('id')}: {name} cannot be read: this process has no class {missing}: "
                f"{self.where[1]} {self.op} {self.operand}",
                hint="select by another entry, or define the class in a module that all can import",
            )
        try:
            holds = bool(self.matches(plain(left), plain(right)))
        except INCOMPARABLE:
            holds = False
        except Unordered as error:
            kind = type(left).__name__ if left is not None else error.kind.__name__
            raise ConstraintError(
                f"run {run.get('id')}: {self.where[1]} is of type {kind}, which has no order to "
                f"compare {self.operand} by: {self.where[1]} {self.op} {self.operand}",
                hint="select by another entry, a number say, or by = and !=",
            ) from None
        return holds != self.is_negated


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition on a run and its job. Immutable, hashable; equal ones hold for the same runs.

    Attributes:
        text: the constraints, normalised; compiles to an equal predicate. ``""`` if there are none.
        reads: all fields that are looked at, such as ``{"runs.state", "jobs.x"}``.
        undeclared: the names among them that are not declared parameters; they are looked up in
            the run.
        run_ids: the only ids that a matching run may have, or ``None`` if ids are not pinned.
        tests: its constraints, in the order in which they are tested.
    """

    text: str
    reads: frozenset[str]
    undeclared: frozenset[str]
    run_ids: frozenset[int] | None
    tests: tuple[FieldTest, ...] = field(repr=False)

    def __call__(self, run: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
        """Whether all constraints hold for these entries (lower-case keys; missing is ``None``).

        A comparison that cannot be made (``None < 3``) does not hold; ``!=`` and ``!~`` hold
        exactly where ``=`` and ``~`` do not. Raises ``ConstraintError`` if a constraint asks for
        an order that a value does not have, and what the mappings raise.
        """
        return all(test(run, job) for test in self.tests)

    @property
    def reads_states_only(self) -> bool:
        """Whether commits that change no run's state cannot change which runs match."""
        return not self.undeclared and self.reads <= _TOLD_BY_TRANSITIONS

    def admits(self, known: Mapping[str, Any]) -> bool:
        """Whether a run may match if only these of its entries are known (lower-case keys)."""
        return all(
            test(known, {})
            for test in self.tests
            if test.other is None and test.where[0] == "runs" and test.where[1] in known
        )

    def asks_of(self, names: Collection[str]) -> tuple[FieldTest, ...]:
        """The tests of some of a run's entries: all that count while only these are known."""
        return tuple(
            test
            for test in self.tests
            if test.other is None and test.where[0] == "runs" and test.where[1] in names
        )

    @property
    def pins(self) -> Iterator[tuple[Field, frozenset[Any]]]:
        """Fields, and the values one of which a run must have there for the other tests to matter.

        This holds for ``None`` and for values of the ``SIMPLE`` types.
        """
        for test in self.tests:
            if (values := test.values) is not None:
                yield test.where, values
            if not test.always_answers:
                return

    @property
    def ranges(self) -> Mapping[Field, Range]:
        """Fields, and the range in which a number there must be for the other tests to matter.

        This holds for Python's own numbers; ``None`` is in no range.
        """
        ranges: dict[Field, Range] = {}
        unsure: Field | None = None  # a field where a value that is no number may raise
        for test in self.tests:
            bound = test.bound
            if bound is not None and unsure in (None, test.where):
                low, high = ranges.get(test.where, (None, None))
                if test.op.startswith(">"):
                    low = bound if low is None else max(low, bound)
                else:
                    high = bound if high is None else min(high, bound)
                ranges[test.where] = low, high
            if not test.always_answers:
                if unsure not in (None, test.where):
                    break
                unsure = test.where
        return ranges


def finds(pattern: re.Pattern[str]) -> Compare:
    return lambda value, _: value is not None and pattern.search(str(value))


def against(compare: Compare, literal: Any) -> Compare:
    return lambda value, _: compare(value, literal)


def simple_literals(literal: Any) -> dict[type, Any] | None:
    """What values of simple types are compared with, if all are compared with one literal."""
    if isinstance(literal, (bool, int, float)):
        return dict.fromkeys((bool, int, float), literal)
    if isinstance(literal, str):
        return {str: literal}
    return {} if isinstance(literal, (date, list, tuple, dict, set)) else None


def own_literals(text: str) -> dict[type, Any]:
    """What values of simple types are compared with, if the text is read by each value's type."""
    literals = {kind: literal_or_none(text, kind) for kind in (bool, int, float)}
    return {str: text} | {kind: value for kind, value in literals.items() if value is not None}


def by_own_type(compare: Compare, text: str) -> Compare:
    """For undeclared names: the text is read by the type of the run's value.

    The comparison raises ``Unordered`` if it asks for an order and the value has none.
    """
    literals = {kind: literal_or_none(text, kind) for kind in _READ_AS}
    python = literal_or_none(text, object)

    def matches(value: Any, _: Any) -> Any:
        for kind, literal in literals.items():  # bool before int: True is both
            if isinstance(value, kind):
                return compare(value, NO_LITERAL if literal is None else literal)
        if value is None or isinstance(value, str):
            return compare(value, text)
        if compare is eq:
            return (python is not None and value == python) or str(value) == text
        if type(value) in _ORDERED and type(python) is type(value):
            try:
                return compare(value, python)
            except TypeError:
                pass
        raise Unordered(type(value))

    return matches


# datetime before date: it is both.
_READ_AS = (bool, int, float, decimal.Decimal, fractions.Fraction, datetime, date)
_ORDERED = (list, tuple, bytes)
