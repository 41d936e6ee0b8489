"""Where a mirror keeps the values of runs and jobs: in which columns, and by which statements.

A name has a column for each kind of value that it has had. Once there are ``COLUMNS_MAX`` columns,
values of further names and kinds are kept as JSON. A statement is made once, for all rows that
hold the same kinds of the same names.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

from motoko.mirror.scalars import PLAIN, can_be_stored, kept, restored

COLUMNS_MAX = 400  # of both tables together; further values are kept as JSON
RUNS, JOBS = 0, 1
TABLES = ("runs", "jobs")
REMEMBERED = 1_000
# Entries of runs that are asked for at each transition have columns of these types.
_OWN_COLUMNS: Mapping[str, type] = {
    "state": str,
    "run_name": str,
    "job_id": int,
    "event_name": str,
}


class Name(NamedTuple):
    """The name of a value: of an entry, or of an attribute of the run or job itself."""

    is_attribute: bool
    name: str


@dataclass(frozen=True)
class Column:
    """A column that holds values of one kind."""

    column: str
    kind: str


class Owner(NamedTuple):
    """The owner of a record: ``RUNS`` or ``JOBS``, and the number of the run or job."""

    table: int
    number: int


@dataclass
class Run:
    """The little of a run that a transition tells."""

    state: str | None = None
    run_name: str | None = None
    job_id: int | None = None
    event_name: str | None = None


_OWN_NAMES = frozenset(Name(False, name) for name in _OWN_COLUMNS)


@dataclass(frozen=True)
class _Update:
    """How values of some names and kinds are written.

    Attributes:
        statement: the SQL; empty if there is nothing to write.
        in_columns: for each value, whether it goes into a column.
        in_more: for each value, whether it goes into ``more`` because there is no column for it.
        clears_more: whether earlier values of these names may be in ``more``.
    """

    statement: str
    in_columns: tuple[bool, ...]
    in_more: tuple[bool, ...]
    clears_more: bool


class Columns:
    """The columns of runs and jobs in one SQLite connection, and the values in them.

    Args:
        connection: to a mirror.
        with_values: keep the values of runs; else only what transitions tell.

    All methods raise ``sqlite3.Error``.
    """

    def __init__(self, connection: sqlite3.Connection, *, with_values: bool) -> None:
        self._connection = connection
        self._with_values = with_values
        self._columns: tuple[dict[Name, dict[str, str]], ...] = ({}, {})
        self._updates: dict[Any, _Update] = {}
        self._fields = 0
        query = "SELECT number, owner, attribute, name, kind FROM fields ORDER BY number"
        for number, table, is_attribute, name, kind in connection.execute(query):
            self._columns[table].setdefault(Name(bool(is_attribute), name), {})[kind] = f"c{number}"
            self._fields = number + 1

    @property
    def has_more(self) -> bool:
        """Whether some values may have no column."""
        return self._fields >= COLUMNS_MAX

    def fields(self, table: int) -> dict[Name, list[Column]]:
        """The columns of each name of runs or jobs; a value is in one of them, or in ``more``."""
        fields = {
            name: [Column(column, kind) for kind, column in kinds.items()]
            for name, kinds in self._columns[table].items()
        }
        if table == RUNS:
            for own in _OWN_COLUMNS:
                # A value of another type is in a column of its kind.
                fields.setdefault(Name(False, own), []).append(Column(own, PLAIN))
        return fields

    def write(
        self,
        owner: Owner,
        values: Mapping[Name, Any],
        lost: Iterable[Name] = (),
        before: Run | None = None,
    ) -> dict[str, Any]:
        """Set values of a run or job, and remove those of the names in ``lost``.

        Args:
            owner: the run or job.
            values: the values, by name.
            lost: names that have no value any more.
            before: the run as it is in the table, if that is known.

        Returns:
            The new values of those attributes of :class:`Run` that are concerned.
        """
        own: dict[str, Any] = {}
        names, kinds, stored = list[Name](), list[str](), list[Any]()
        for name, value in values.items():
            kind: str | None = None
            if owner.table == RUNS and name in _OWN_NAMES:
                own[name.name] = text = _own(name.name, value)
                kind = "" if text is value else None
            elif not self._with_values:
                continue
            content = None
            if kind is None:
                kind, content = kept(value)
            names.append(name)
            kinds.append(kind if content is not None else "")
            stored.append(content)
        for name in lost:
            if owner.table == RUNS and name in _OWN_NAMES:
                own[name.name] = None
            names.append(name)
            kinds.append("")
            stored.append(None)
        changed = [
            column
            for column, value in own.items()
            if before is None or getattr(before, column) != value
        ]
        key = (owner.table, tuple(names), tuple(kinds), tuple(changed))
        update = self._updates.get(key)
        if update is None:
            update = self._update(*key)
            bounded(self._updates)[key] = update
        given = [own[column] for column in changed]
        given += compress(stored, update.in_columns)
        if update.clears_more:
            contents = zip(names, kinds, stored, update.in_more, strict=True)
            more = {
                key_in_more(name): [kind, content] if is_in_more else None
                for name, kind, content, is_in_more in contents
            }
            given.append(self._more(owner, more))
        if update.statement:
            self._connection.execute(update.statement, (*given, owner.number))
        return own

    def _update(
        self,
        table: int,
        names: tuple[Name, ...],
        kinds: tuple[str, ...],
        own: tuple[str, ...],
    ) -> _Update:
        """How values of these kinds are written; the kind ``""`` stands for no value."""
        in_columns, in_more = list[bool](), list[bool]()
        places = [f"{column} = ?" for column in own]
        for name, kind in zip(names, kinds, strict=True):
            known = self._columns[table].get(name, {})
            if kind and kind not in known and not self.has_more:
                known = self._new_column(table, name, kind)
            in_columns.append(kind in known)
            in_more.append(kind != "" and kind not in known)
            places += [
                f"{column} = {'?' if other == kind else 'NULL'}" for other, column in known.items()
            ]
        clears_more = self.has_more and bool(names)
        if clears_more:
            places.append("more = ?")
        statement = f"UPDATE {TABLES[table]} SET {', '.join(places)} WHERE id = ?" if places else ""
        return _Update(statement, tuple(in_columns), tuple(in_more), clears_more)

    def _new_column(self, table: int, name: Name, kind: str) -> dict[str, str]:
        number, self._fields = self._fields, self._fields + 1
        self._connection.execute(f"ALTER TABLE {TABLES[table]} ADD COLUMN c{number}")
        self._connection.execute(
            "INSERT INTO fields VALUES (?, ?, ?, ?, ?)",
            (number, table, int(name.is_attribute), name.name, kind),
        )
        known = self._columns[table].setdefault(name, {})
        known[kind] = f"c{number}"
        # Statements made before do not clear this column, nor ``more``.
        self._updates.clear()
        return known

    def _more(self, owner: Owner, changes: Mapping[str, Any]) -> str | None:
        row = self._connection.execute(
            f"SELECT more FROM {TABLES[owner.table]} WHERE id = ?", (owner.number,)
        ).fetchone()
        before = json.loads(row[0]) if row and row[0] else {}
        more = {key: kept for key, kept in {**before, **changes}.items() if kept is not None}
        return json.dumps(more) if more else None


def bounded(cache: dict[Any, Any]) -> dict[Any, Any]:
    """The cache, emptied if it is full."""
    if len(cache) >= REMEMBERED:
        cache.clear()
    return cache


def key_in_more(name: Name) -> str:
    """The key of a name in the JSON of values that have no column."""
    return f"{int(name.is_attribute)}{name.name}"


def more_values(text: str | None) -> dict[Name, Any]:
    """The values of names that have no column."""
    return {
        Name(key[0] == "1", key[1:]): restored(*kind_and_value)
        for key, kind_and_value in (json.loads(text) if text else {}).items()
    }


def _own(name: str, value: Any) -> Any:
    """What transitions tell of an entry: the value itself, if it has the right type."""
    if type(value) is int and _OWN_COLUMNS[name] is int:
        return value if kept(value)[0] == PLAIN else None
    if name == "state" and value is not None and type(value) is not str:
        value = str(value)
    if type(value) is not str or _OWN_COLUMNS[name] is not str:
        return None
    return value if can_be_stored(value) else ascii(value)
