"""The tables of a mirror: a row for each run and job, and what each record of the database holds.

Nothing here knows files or databases: see :mod:`motoko.mirror.mirror_file`.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from motoko.mirror.scalars import PLAIN, can_be_stored, kept, restored

LAYOUT = 3  # raised whenever tables or kinds change: mirrors of another one are made anew
COLUMNS_MAX = 400  # of a table; more names are kept as JSON
RUNS, JOBS = 0, 1
TABLES = ("runs", "jobs")

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE fields (
    number INTEGER PRIMARY KEY, owner INTEGER, attribute INTEGER, name TEXT, kind TEXT
);
CREATE TABLE name_sets (id INTEGER PRIMARY KEY, names TEXT UNIQUE);
CREATE TABLE containers (oid INTEGER PRIMARY KEY, owner INTEGER, members BLOB, below BLOB);
CREATE TABLE records (oid INTEGER PRIMARY KEY, owner INTEGER, names INTEGER, below BLOB);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, record INTEGER,
    state TEXT, run_name TEXT, job_id INTEGER, event_name TEXT, more TEXT
);
CREATE TABLE jobs (id INTEGER PRIMARY KEY, record INTEGER, more TEXT);
CREATE INDEX runs_of_jobs ON runs (job_id);
"""
# Entries of runs that are asked for at each transition have columns of these types.
_OWN_COLUMNS: Mapping[str, type] = {
    "state": str,
    "run_name": str,
    "job_id": int,
    "event_name": str,
}


class Name(NamedTuple):
    """The name of a value: of an entry, or of an attribute that the run or job has beside them."""

    is_attribute: bool
    name: str


@dataclass(frozen=True)
class Column:
    """A column that holds values of one kind."""

    column: str
    kind: str


class Owner(NamedTuple):
    """Whose record it is: ``RUNS`` or ``JOBS``, and the number."""

    table: int
    number: int


@dataclass(frozen=True)
class Holding:
    """What a record of a run or job holds: the names of values, and the records below it."""

    names: frozenset[Name] = frozenset()
    below: tuple[int, ...] = ()


@dataclass(frozen=True)
class Members:
    """What a record of all runs, or all jobs, holds: numbers, and the records below it."""

    numbers: tuple[int, ...] = ()
    below: tuple[int, ...] = ()


@dataclass
class Run:
    """The little of a run that a transition tells."""

    state: str | None = None
    run_name: str | None = None
    job_id: int | None = None
    event_name: str | None = None


class MirrorTables:
    """The tables in one SQLite connection; what is written is there for it at once.

    Args:
        connection: in autocommit mode, and to nobody else's knowledge.
        is_new: make the tables.
        with_values: keep the values of runs; else only what transitions tell.

    All raise ``sqlite3.Error``.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, is_new: bool, with_values: bool = True
    ) -> None:
        self.connection = connection
        self.with_values = with_values
        if is_new:
            connection.executescript(f"BEGIN;{_TABLES}COMMIT;")
        self.forget()

    def forget(self) -> None:
        """Read anew what is remembered of the tables: a transaction was rolled back."""
        self._columns: tuple[dict[Name, dict[str, str]], ...] = ({}, {})
        self._sets: dict[frozenset[Name], int] = {}
        self._names_of: dict[int, frozenset[Name]] = {}
        query = "SELECT number, owner, attribute, name, kind FROM fields ORDER BY number"
        self._fields = 0
        for number, table, is_attribute, name, kind in self.connection.execute(query):
            self._columns[table].setdefault(Name(bool(is_attribute), name), {})[kind] = f"c{number}"
            self._fields = number + 1

    def clear(self) -> None:
        """Remove all rows, and all that is known of the database."""
        for table in ("meta", "name_sets", "containers", "records", "runs", "jobs"):
            self.connection.execute(f"DELETE FROM {table}")
        self._sets.clear()
        self._names_of.clear()

    # What it stands for

    def meta(self) -> dict[str, Any]:
        """What is noted of the mirror as a whole."""
        return dict(self.connection.execute("SELECT name, value FROM meta"))

    def note(self, **values: Any) -> None:
        """Note something of the mirror as a whole."""
        self.connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    # Records

    def holding(self, oid: int) -> tuple[Owner, Holding] | None:
        """Whose record it is, and what it held; ``None`` if it is no run's or job's."""
        row = self.connection.execute(
            "SELECT owner, names, below FROM records WHERE oid = ?", (oid,)
        ).fetchone()
        if row is None:
            return None
        owner, names, below = row
        return Owner(owner & 1, owner >> 1), Holding(self._name_set(names), _unpacked(below))

    def hold(self, oid: int, owner: Owner, holding: Holding) -> None:
        """Note what a record holds."""
        self.connection.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)",
            (
                oid,
                owner.number << 1 | owner.table,
                self._set_id(holding.names),
                _packed(holding.below),
            ),
        )

    def drop_records(self, oids: Iterable[int]) -> None:
        """Forget records of runs and jobs."""
        self.connection.executemany("DELETE FROM records WHERE oid = ?", ((oid,) for oid in oids))

    def members(self, oid: int) -> tuple[int, Members] | None:
        """Whether it is a record of all runs or jobs, which, and what it held."""
        row = self.connection.execute(
            "SELECT owner, members, below FROM containers WHERE oid = ?", (oid,)
        ).fetchone()
        return row and (row[0], Members(_unpacked(row[1]), _unpacked(row[2])))

    def hold_members(self, oid: int, table: int, members: Members) -> None:
        """Note what a record of all runs or jobs holds."""
        self.connection.execute(
            "INSERT OR REPLACE INTO containers VALUES (?, ?, ?, ?)",
            (oid, table, _packed(members.numbers), _packed(members.below)),
        )

    def drop_containers(self, oids: Iterable[int]) -> None:
        """Forget records of all runs or jobs."""
        self.connection.executemany(
            "DELETE FROM containers WHERE oid = ?", ((oid,) for oid in oids)
        )

    # Rows

    def record(self, owner: Owner) -> int | None:
        """The record of a run or job; ``None`` if there is no such."""
        row = self.connection.execute(
            f"SELECT record FROM {TABLES[owner.table]} WHERE id = ?", (owner.number,)
        ).fetchone()
        return int(row[0]) if row else None

    def add(self, owner: Owner, record: int) -> None:
        """A new run or job, without any value."""
        self.connection.execute(
            f"INSERT OR REPLACE INTO {TABLES[owner.table]} (id, record) VALUES (?, ?)",
            (owner.number, record),
        )

    def remove(self, owner: Owner) -> None:
        """A run or job that is no more; its records are dropped, too."""
        oids = [record] if (record := self.record(owner)) is not None else []
        while oids:
            known = [holding for oid in oids if (holding := self.holding(oid))]
            self.drop_records(oids)
            oids = [oid for whose, held in known if whose == owner for oid in held.below]
        self.connection.execute(f"DELETE FROM {TABLES[owner.table]} WHERE id = ?", (owner.number,))

    def run(self, number: int) -> Run | None:
        """What transitions tell of a run; ``None`` if there is no such."""
        row = self.connection.execute(
            "SELECT state, run_name, job_id, event_name FROM runs WHERE id = ?", (number,)
        ).fetchone()
        return row and Run(*row)

    def runs(self) -> Iterator[tuple[int, Run]]:
        """What transitions tell of all runs, by number in order."""
        query = "SELECT id, state, run_name, job_id, event_name FROM runs ORDER BY id"
        for number, *rest in self.connection.execute(query):
            yield number, Run(*rest)

    def count(self) -> int:
        """How many runs there are."""
        (count,) = self.connection.execute("SELECT count(*) FROM runs").fetchone()
        return int(count)

    def write(self, owner: Owner, values: Mapping[Name, Any], lost: Iterable[Name] = ()) -> None:
        """Set values of a run or job; those lost have none any more."""
        columns: dict[str, Any] = {}
        more: dict[str, Any] = {}
        for name, value in values.items():
            if owner.table == RUNS and not name.is_attribute and name.name in _OWN_COLUMNS:
                columns[name.name] = text = _own(name.name, value)
                if text is not value:
                    self._place(owner, name, *kept(value), columns, more)
                else:
                    self._place(owner, name, "", None, columns, more)
            elif self.with_values:
                self._place(owner, name, *kept(value), columns, more)
        for name in lost:
            if owner.table == RUNS and not name.is_attribute and name.name in _OWN_COLUMNS:
                columns[name.name] = None
            self._place(owner, name, "", None, columns, more)
        if more:
            columns["more"] = self._more(owner, more)
        if columns:
            places = ", ".join(f"{column} = ?" for column in columns)
            self.connection.execute(
                f"UPDATE {TABLES[owner.table]} SET {places} WHERE id = ?",
                (*columns.values(), owner.number),
            )

    def _place(
        self,
        owner: Owner,
        name: Name,
        kind: str,
        stored: Any,
        columns: dict[str, Any],
        more: dict[str, Any],
    ) -> None:
        """Say where a value goes, and that it is nowhere else; kind ``""``: there is none."""
        known = self._columns[owner.table].get(name, {})
        if kind and kind not in known and stored is not None:
            if self._fields >= COLUMNS_MAX:
                more[key_in_more(name)] = [kind, stored]
            else:
                known = self._new_column(owner.table, name, kind)
        elif self._fields >= COLUMNS_MAX:
            more[key_in_more(name)] = None
        for other, column in known.items():
            columns[column] = stored if other == kind else None

    def _new_column(self, table: int, name: Name, kind: str) -> dict[str, str]:
        number, self._fields = self._fields, self._fields + 1
        self.connection.execute(f"ALTER TABLE {TABLES[table]} ADD COLUMN c{number}")
        self.connection.execute(
            "INSERT INTO fields VALUES (?, ?, ?, ?, ?)",
            (number, table, int(name.is_attribute), name.name, kind),
        )
        known = self._columns[table].setdefault(name, {})
        known[kind] = f"c{number}"
        return known

    def _more(self, owner: Owner, changes: Mapping[str, Any]) -> str | None:
        row = self.connection.execute(
            f"SELECT more FROM {TABLES[owner.table]} WHERE id = ?", (owner.number,)
        ).fetchone()
        before = json.loads(row[0]) if row and row[0] else {}
        more = {key: kept for key, kept in {**before, **changes}.items() if kept is not None}
        return json.dumps(more) if more else None

    def fields(self, table: int) -> dict[Name, list[Column]]:
        """The columns of each name of runs or jobs; a value is in one of them, or in ``more``."""
        fields = {
            name: [Column(column, kind) for kind, column in kinds.items()]
            for name, kinds in self._columns[table].items()
        }
        if table == RUNS:
            for own in _OWN_COLUMNS:
                # What is no text, or no number, is in another one.
                fields.setdefault(Name(False, own), []).append(Column(own, PLAIN))
        return fields

    @property
    def has_more(self) -> bool:
        """Whether some values may have no column."""
        return self._fields >= COLUMNS_MAX

    def _set_id(self, names: frozenset[Name]) -> int:
        number = self._sets.get(names)
        if number is None:
            text = json.dumps(sorted(names))
            self.connection.execute("INSERT OR IGNORE INTO name_sets (names) VALUES (?)", (text,))
            (number,) = self.connection.execute(
                "SELECT id FROM name_sets WHERE names = ?", (text,)
            ).fetchone()
            _bounded(self._sets)[names] = number
        return number

    def _name_set(self, number: int) -> frozenset[Name]:
        names = self._names_of.get(number)
        if names is None:
            (text,) = self.connection.execute(
                "SELECT names FROM name_sets WHERE id = ?", (number,)
            ).fetchone()
            names = frozenset(Name(bool(attribute), name) for attribute, name in json.loads(text))
            _bounded(self._names_of)[number] = names
        return names


def _bounded(cache: dict[Any, Any]) -> dict[Any, Any]:
    if len(cache) >= 1_000:
        cache.clear()
    return cache


def key_in_more(name: Name) -> str:
    """A name in the JSON of those that have no column."""
    return f"{int(name.is_attribute)}{name.name}"


def more_values(text: str | None) -> dict[Name, Any]:
    """The values of names that have no column."""
    return {
        Name(key[0] == "1", key[1:]): restored(*kind_and_value)
        for key, kind_and_value in (json.loads(text) if text else {}).items()
    }


def _own(name: str, value: Any) -> Any:
    """What transitions tell of an entry: the value itself, if it is what it should be."""
    if type(value) is int and _OWN_COLUMNS[name] is int:
        return value if kept(value)[0] == PLAIN else None
    if name == "state" and value is not None and type(value) is not str:
        value = str(value)
    if type(value) is not str or _OWN_COLUMNS[name] is not str:
        return None
    return value if can_be_stored(value) else ascii(value)


def _packed(numbers: Sequence[int]) -> bytes | None:
    return array("q", numbers).tobytes() if numbers else None


def _unpacked(data: bytes | None) -> tuple[int, ...]:
    return tuple(array("q", data)) if data else ()
