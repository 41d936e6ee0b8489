"""Constraints as SQL over a mirror's tables: which runs may meet a predicate.

Where SQL does not compare as Python does, the SQL calls Python's comparison for each value. A value
that the mirror does not have may meet the predicate. So no run is missed, and testing the runs that
are found, in the order of their numbers, raises the same errors as testing all runs.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from motoko.mirror.columns import JOBS, RUNS, TABLES, Column, Name, key_in_more
from motoko.mirror.mirror_tables import MirrorTables
from motoko.mirror.scalars import ABSENT, BOOL, LITERAL, NAN, PLAIN, can_be_stored, restored
from motoko.runs.entry_table import places_of
from motoko.store.literals import INCOMPARABLE, plain
from motoko.store.predicates import Field, FieldTest, Predicate, Unordered

# Attributes of runs that are not values, and that the mirror does not have.
OF_OBJECTS = frozenset(
    {"entries", "key_string", "optional", "operators", "base"}
    | {"types", "configfiles", "quantities"}
)
TESTS_MAX = 20  # SQLite limits nesting; the tests after these are left to the predicate
ALL, NONE = "1", "0"
# A ``job_id`` that is not a plain number, such as True, is NULL here, but may name a job.
_NO_JOB_ID = "runs.job_id IS NULL"
_INTEGERS = range(-(1 << 63), 1 << 63)
_functions = itertools.count()


@dataclass(frozen=True)
class Where:
    """A condition on rows of ``runs``.

    Attributes:
        sql: holds for all runs that meet the predicate, or that it raises an error for.
        parameters: its values.
        is_exact: it holds for no other runs, so that those found need not be tested again, except
            those whose job is missing, or whose ``job_id`` is not a plain number.
    """

    sql: str
    parameters: Mapping[str, Any]
    is_exact: bool


def candidates(tables: MirrorTables, predicate: Predicate) -> Iterator[int]:
    """The runs that may meet a predicate, in order: all that do, and all it raises an error for.

    Raises ``sqlite3.Error``.
    """
    condition = where(tables, predicate)
    query = f"SELECT id FROM runs WHERE {condition.sql} ORDER BY id"
    for (number,) in tables.connection.execute(query, condition.parameters):
        yield number


def where(tables: MirrorTables, predicate: Predicate) -> Where:
    """A predicate as a condition; the functions that it calls are registered with the tables."""
    return _Compiler(tables).where(predicate)


@dataclass(frozen=True)
class _Condition:
    """When a test holds, and when only Python can tell whether it holds, or raises.

    Attributes:
        of_jobs: the same as a condition on jobs, if it is one on jobs alone.
    """

    holds: str
    untold: str = NONE
    is_exact: bool = True
    of_jobs: str | None = None

    @property
    def may_hold(self) -> str:
        return _or(self.untold, self.holds)


class _Compiler:
    def __init__(self, tables: MirrorTables) -> None:
        self._tables = tables
        self._parameters: dict[str, Any] = {}

    def where(self, predicate: Predicate) -> Where:
        tests = predicate.tests[:TESTS_MAX]
        conditions = _with_jobs_together([self._condition(test) for test in tests])
        sql = ALL
        for condition in reversed(conditions):
            # If a test fails, later ones do not count. If only Python can tell, the run may match.
            sql = _or(condition.untold, _and(condition.holds, sql))
        is_exact = len(tests) == len(predicate.tests) and all(
            condition.is_exact and condition.untold == NONE for condition in conditions
        )
        return Where(sql, self._parameters, is_exact)

    def _condition(self, test: FieldTest) -> _Condition:
        if test.other is not None:
            return self._of_two(test, test.where, test.other)
        table = JOBS if test.where[0] == "jobs" else RUNS
        if table == RUNS and test.where[1] in OF_OBJECTS:
            return _Condition(ALL, ALL, is_exact=False)
        condition = self._of_field(test, table)
        return condition if table == RUNS else _of_jobs(condition, _meets(test, None))

    def _of_field(self, test: FieldTest, table: int) -> _Condition:
        """The condition for one field, on rows of its table."""
        names = self._names(table, test.where[1])
        if not names:
            return _Condition(ALL if _meets(test, None) else NONE)
        conditions = []
        for name in names:
            columns = self._tables.fields(table).get(name, [])
            parts = [self._of_column(test, column, table) for column in columns]
            if _meets(test, None):
                all_null = _and(*(f"{_of(table, column)} IS NULL" for column in columns))
                parts.append(_Condition(all_null, is_exact=not self._tables.has_more))
            if self._tables.has_more:
                key = self._parameter(f"{json.dumps(key_in_more(name))}:")
                more = f"coalesce(instr({TABLES[table]}.more, {key}), 0)"
                parts.append(_Condition(NONE, more, is_exact=False))
            conditions.append(_any(parts, is_exact=not _is_kept_twice(name, columns)))
        return _any(conditions, is_exact=len(names) == 1)

    def _names(self, table: int, name: str) -> list[Name]:
        """The names under which a field's value may be stored; the first with a value counts."""
        fields = self._tables.fields(table)
        entries = places_of(name) if table == RUNS else (name,)
        possible = [*(Name(False, key) for key in entries), Name(True, name)]
        return [stored for stored in possible if stored in fields or self._tables.has_more]

    def _of_column(self, test: FieldTest, column: Column, table: int) -> _Condition:
        """The condition for a value in one column."""
        place = _of(table, column)
        if column.kind == ABSENT:
            return _Condition(NONE, f"{place} IS NOT NULL")
        if test.literals is not None and column.kind == NAN:
            holds: str | None = NONE
        elif test.literals is not None and column.kind in (PLAIN, BOOL):
            holds = self._compared(test, test.literals, place, column.kind)
        else:
            holds = None
        if holds is not None:
            if test.is_negated:
                holds = _and(f"{place} IS NOT NULL", f"NOT ({holds})")
            return _Condition(holds)  # NULL meets no comparison
        kind = column.kind

        def meets(stored: Any) -> bool | None:
            return _meets_stored(test, (kind, stored), None)

        called = f"{self._function(meets, 1)}({place})"
        holds = _and(f"{place} IS NOT NULL", called)
        if kind in (PLAIN, BOOL):
            return _Condition(holds)
        return _Condition(holds, _and(f"{place} IS NOT NULL", f"{called} IS NULL"))

    def _compared(
        self, test: FieldTest, literals: Mapping[type, Any], place: str, kind: str
    ) -> str | None:
        """The comparison of a value that is not NULL, in SQL; ``None`` if only Python can tell."""
        op = test.op.removeprefix("!")
        whole, real, text = (literals.get(kind_of) for kind_of in (int, float, str))
        if kind == BOOL:
            return self._than(op, f"+{place}", literals.get(bool))
        place = f"+{place}"  # an expression has no affinity: SQLite converts nothing
        numbers: str | None
        if whole == real:
            numbers = self._than(op, place, whole)
            if numbers is not None and numbers != NONE and op in (">", ">="):
                numbers = _and(numbers, f"{place} < ''")  # to SQLite all texts are larger
        else:
            parts = []
            for sql_type, literal in (("integer", whole), ("real", real)):
                part = self._than(op, place, literal)
                if part is None:
                    return None
                parts.append(_and(f"typeof({place}) = '{sql_type}'", part))
            numbers = _or(*parts)
        texts = self._than(op, place, text)
        if numbers is None or texts is None:
            return None
        if texts != NONE and op in ("<", "<="):
            texts = _and(texts, f"{place} >= ''")
        return _or(numbers, texts)

    def _than(self, op: str, place: str, literal: Any) -> str | None:
        """A comparison with a literal, among values of its type; ``None`` if SQL has none."""
        if literal is None or literal != literal:
            return NONE
        if isinstance(literal, int):
            literal = int(literal)
            if literal not in _INTEGERS:
                return None
        elif isinstance(literal, str) and not can_be_stored(literal):
            return None
        return f"{place} {op} {self._parameter(literal)}"

    def _of_two(self, test: FieldTest, *fields: Field) -> _Condition:
        """The condition for two fields that are compared with each other."""
        if any(side == "runs" and name in OF_OBJECTS for side, name in fields):
            return _Condition(ALL, ALL, is_exact=False)
        values, is_exact = [], not self._tables.has_more
        for side, name in fields:
            table = JOBS if side == "jobs" else RUNS
            columns = [
                (name_of, column)
                for name_of in self._names(table, name)
                for column in self._tables.fields(table).get(name_of, [])
            ]
            is_exact = is_exact and len({name_of for name_of, _ in columns}) <= 1
            values.append([(_of(table, column), column.kind) for _, column in columns])

        if not is_exact:  # a name's value may be in two places: Python has to tell which one counts
            return _Condition(ALL, ALL, is_exact=False)
        condition = self._of_stored(test, values)
        sides = {side for side, _ in fields}
        if "jobs" not in sides:
            return condition
        if "runs" not in sides:
            return _of_jobs(condition, meets_none=False)
        of_job = "(SELECT {} FROM jobs WHERE jobs.id = runs.job_id)".format
        return _Condition(
            f"({_NO_JOB_ID} OR {of_job(condition.holds)})",
            NONE if condition.untold == NONE else of_job(condition.untold),
        )

    def _of_stored(self, test: FieldTest, sides: list[list[tuple[str, str]]]) -> _Condition:
        """The condition for two values; each of them is in one of its side's columns, or nowhere.

        SQL compares numbers and texts as Python does, and so without calling it for each row.
        """
        simple = [[place for place, kind in side if kind in (PLAIN, BOOL)] for side in sides]
        left, right = (f"coalesce({', '.join([*places, 'NULL', 'NULL'])})" for places in simple)
        if test.op in ("=", "!="):
            holds = f"{left} IS {right}"
        else:  # to SQLite all texts are larger than numbers
            of_one_type = f"(typeof({left}) = 'text') = (typeof({right}) = 'text')"
            holds = f"coalesce({left} {test.op} {right} AND {of_one_type}, 0)"
        holds = f"NOT ({holds})" if test.is_negated else f"({holds})"
        others = [(place, kind) for side in sides for place, kind in side]
        others = [(place, kind) for place, kind in others if kind not in (PLAIN, BOOL)]
        if not others:
            return _Condition(holds)

        def meets(*stored: Any) -> bool | None:
            left, right = (
                next(((kind, value) for (_, kind), value in held if value is not None), None)
                for held in (
                    list(zip(sides[0], stored, strict=False)),
                    list(zip(sides[1], stored[len(sides[0]) :], strict=True)),
                )
            )
            return _meets_stored(test, left, right)

        places = [place for side in sides for place, _ in side]
        called = f"{self._function(meets, len(places))}({', '.join(places)})"
        is_simple = _and(*(f"{place} IS NULL" for place, _ in others))
        holds = f"CASE WHEN {is_simple} THEN {holds} ELSE coalesce({called}, 0) END"
        untold = f"(NOT ({is_simple}) AND {called} IS NULL)"
        may_be_untold = any(kind in (ABSENT, LITERAL) for _, kind in others)
        return _Condition(holds, untold if may_be_untold else NONE)

    def _function(self, meets: Callable[..., bool | None], arguments: int) -> str:
        name = f"meets_{next(_functions)}"
        self._tables.connection.create_function(name, arguments, meets, deterministic=True)
        return name

    def _parameter(self, value: Any) -> str:
        name = f"p{len(self._parameters)}"
        self._parameters[name] = value
        return f":{name}"


def _meets(test: FieldTest, value: Any, other: Any = None) -> bool:
    """Whether a value meets a test; raises ``Unordered``."""
    holds = False
    with contextlib.suppress(*INCOMPARABLE):
        holds = bool(test.matches(plain(value), plain(other)))
    return holds != test.is_negated


Kept = tuple[str, Any] | None


def _meets_stored(test: FieldTest, value: Kept, other: Kept) -> bool | None:
    """Whether values meet a test, as the mirror keeps them; ``None`` if it cannot tell."""
    parts = []
    for kept in (value, other):
        if kept is not None and (kept[0] == ABSENT or _is_another(*kept)):
            return None
        parts.append(None if kept is None else restored(*kept))
    try:
        return _meets(test, *parts)
    except Unordered:
        return None


def _is_another(kind: str, stored: Any) -> bool:
    """Whether the value's text may have changed by keeping it: complex numbers' and sets' may."""
    return kind == LITERAL and ("j" in stored or "{" in stored)


def _is_kept_twice(name: Name, columns: list[Column]) -> bool:
    """Whether a value may be in two columns: in its kind's, and as a text in the name's own."""
    return len(columns) > 1 and any(column.column == name.name for column in columns)


def _of_jobs(condition: _Condition, meets_none: bool) -> _Condition:
    """A condition on jobs, as one on their runs."""
    whose = _whose_jobs(condition.holds)
    absent = _NO_JOB_ID
    if meets_none:
        absent = "NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = runs.job_id)"
    if meets_none or whose in (ALL, NONE):
        holds = _or(whose, absent)
    else:  # for an OR, SQLite would look at all jobs twice
        of_both = f"{whose} UNION ALL SELECT runs.id FROM runs WHERE {absent}"
        holds = f"runs.id IN (SELECT runs.id FROM runs WHERE {of_both})"
    is_all = not meets_none and condition.untold == NONE
    return _Condition(
        holds,
        _whose_jobs(condition.untold),
        condition.is_exact,
        condition.holds if is_all else None,
    )


def _with_jobs_together(conditions: list[_Condition]) -> list[_Condition]:
    """The same conditions; successive ones on jobs become one, for one look at all jobs."""
    fewer: list[_Condition] = []
    for condition in conditions:
        before = fewer[-1] if fewer else condition
        if fewer and condition.of_jobs is not None and before.of_jobs is not None:
            both = _and(before.of_jobs, condition.of_jobs)
            is_exact = before.is_exact and condition.is_exact
            fewer[-1] = _of_jobs(_Condition(both, is_exact=is_exact), meets_none=False)
        else:
            fewer.append(condition)
    return fewer


def _whose_jobs(sql: str) -> str:
    if sql in (ALL, NONE):
        return sql
    return f"runs.job_id IN (SELECT jobs.id FROM jobs WHERE {sql})"


def _any(conditions: list[_Condition], *, is_exact: bool) -> _Condition:
    return _Condition(
        _or(*(condition.holds for condition in conditions)),
        _or(*(condition.untold for condition in conditions)),
        is_exact and all(condition.is_exact for condition in conditions),
    )


def _of(table: int, column: Column) -> str:
    return f"{TABLES[table]}.{column.column}"


def _or(*parts: str) -> str:
    if ALL in parts:
        return ALL
    wanted = [part for part in parts if part != NONE]
    return NONE if not wanted else wanted[0] if len(wanted) == 1 else f"({' OR '.join(wanted)})"


def _and(*parts: str) -> str:
    if NONE in parts:
        return NONE
    wanted = [part for part in parts if part != ALL]
    return ALL if not wanted else wanted[0] if len(wanted) == 1 else f"({' AND '.join(wanted)})"
