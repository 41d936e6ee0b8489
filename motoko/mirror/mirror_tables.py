"""The tables of a mirror: a row for each run and job, and what each record of the database holds.

Nothing here knows files or databases: see :mod:`motoko.mirror.mirror_file`.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.mirror.columns import (
    COLUMNS_MAX,
    JOBS,
    RUNS,
    TABLES,
    Column,
    Columns,
    Name,
    Owner,
    Run,
    bounded,
    more_values,
)

__all__ = [
    "COLUMNS_MAX",
    "JOBS",
    "LAYOUT",
    "RUNS",
    "TABLES",
    "Column",
    "Holding",
    "Members",
    "MirrorTables",
    "Name",
    "Owner",
    "Run",
    "more_values",
]

LAYOUT = 3  # incremented whenever tables or kinds change: mirrors of another are made anew

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


class MirrorTables:
    """The tables in one SQLite connection, which sees at once what it writes.

    Args:
        connection: in autocommit mode, and used for nothing else.
        is_new: make the tables.
        with_values: keep the values of runs; else only what transitions tell.

    All methods raise ``sqlite3.Error``.
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
        """Read anew what is remembered of the tables, after a transaction was rolled back."""
        self._columns = Columns(self.connection, with_values=self.with_values)
        self._sets: dict[frozenset[Name], int] = {}
        self._names_of: dict[int, frozenset[Name]] = {}
        self._tid = ""
        (self._top,) = self.connection.execute(
            "SELECT max(ifnull((SELECT max(oid) FROM records), -1), "
            "ifnull((SELECT max(oid) FROM containers), -1))"
        ).fetchone()

    def clear(self) -> None:
        """Remove all rows, and all that is known of the database."""
        self._tid = ""
        for table in ("meta", "name_sets", "containers", "records", "runs", "jobs"):
            self.connection.execute(f"DELETE FROM {table}")
        self._sets.clear()
        self._names_of.clear()

    # The mirror as a whole

    def meta(self) -> dict[str, Any]:
        """What is noted of the mirror as a whole."""
        self.flush()
        return dict(self.connection.execute("SELECT name, value FROM meta"))

    def note(self, **values: Any) -> None:
        """Note something of the mirror as a whole."""
        self.connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def stand_at(self, tid: bytes) -> None:
        """Set the newest transaction that is known; :meth:`flush` writes it."""
        self._tid = tid.hex()

    def flush(self) -> None:
        """Write the newest transaction's id: once for many transactions, before a commit."""
        if self._tid:
            self.note(tid=self._tid)
            self._tid = ""

    # Records

    def holding(self, oid: int) -> tuple[Owner, Holding] | None:
        """A record's owner, and what the record held; ``None`` if it is no run's or job's."""
        if oid > self._top:
            return None
        row = self.connection.execute(
            "SELECT owner, names, below FROM records WHERE oid = ?", (oid,)
        ).fetchone()
        if row is None:
            return None
        owner, names, below = row
        return Owner(owner & 1, owner >> 1), Holding(self._name_set(names), _unpacked(below))

    def hold(self, oid: int, owner: Owner, holding: Holding) -> None:
        """Note what a record holds."""
        self._top = max(self._top, oid)
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
        """The table of a record of all runs or jobs, and what it held; ``None`` if it is none."""
        if oid > self._top:
            return None
        row = self.connection.execute(
            "SELECT owner, members, below FROM containers WHERE oid = ?", (oid,)
        ).fetchone()
        return row and (row[0], Members(_unpacked(row[1]), _unpacked(row[2])))

    def hold_members(self, oid: int, table: int, members: Members) -> None:
        """Note what a record of all runs or jobs holds."""
        self._top = max(self._top, oid)
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
        """The record of a run or job; ``None`` if there is no such run or job."""
        row = self.connection.execute(
            f"SELECT record FROM {TABLES[owner.table]} WHERE id = ?", (owner.number,)
        ).fetchone()
        return int(row[0]) if row else None

    def add(self, owner: Owner, record: int) -> None:
        """Add a run or job, without any value."""
        self.connection.execute(
            f"INSERT OR REPLACE INTO {TABLES[owner.table]} (id, record) VALUES (?, ?)",
            (owner.number, record),
        )

    def remove(self, owner: Owner) -> None:
        """Remove a run or job that was deleted, and its records."""
        oids = [record] if (record := self.record(owner)) is not None else []
        while oids:
            known = [holding for oid in oids if (holding := self.holding(oid))]
            self.drop_records(oids)
            oids = [oid for whose, held in known if whose == owner for oid in held.below]
        self.connection.execute(f"DELETE FROM {TABLES[owner.table]} WHERE id = ?", (owner.number,))

    def run(self, number: int) -> Run | None:
        """What transitions tell of a run; ``None`` if there is no such run."""
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

    def write(
        self,
        owner: Owner,
        values: Mapping[Name, Any],
        lost: Iterable[Name] = (),
        before: Run | None = None,
    ) -> dict[str, Any]:
        """Set values of a run or job: see :meth:`Columns.write`."""
        return self._columns.write(owner, values, lost, before)

    def fields(self, table: int) -> dict[Name, list[Column]]:
        """The columns of each name of runs or jobs; a value is in one of them, or in ``more``."""
        return self._columns.fields(table)

    @property
    def has_more(self) -> bool:
        """Whether some values may have no column."""
        return self._columns.has_more

    def _set_id(self, names: frozenset[Name]) -> int:
        number = self._sets.get(names)
        if number is None:
            text = json.dumps(sorted(names))
            self.connection.execute("INSERT OR IGNORE INTO name_sets (names) VALUES (?)", (text,))
            (number,) = self.connection.execute(
                "SELECT id FROM name_sets WHERE names = ?", (text,)
            ).fetchone()
            bounded(self._sets)[names] = number
        return number

    def _name_set(self, number: int) -> frozenset[Name]:
        names = self._names_of.get(number)
        if names is None:
            (text,) = self.connection.execute(
                "SELECT names FROM name_sets WHERE id = ?", (number,)
            ).fetchone()
            names = frozenset(Name(bool(attribute), name) for attribute, name in json.loads(text))
            bounded(self._names_of)[number] = names
        return names


def _packed(numbers: Sequence[int]) -> bytes | None:
    return array("q", numbers).tobytes() if numbers else None


def _unpacked(data: bytes | None) -> tuple[int, ...]:
    return tuple(array("q", data)) if data else ()
