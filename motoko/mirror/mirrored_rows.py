"""The rows of a mirror with their values as Python has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from motoko.mirror.mirror_tables import (
    JOBS,
    RUNS,
    TABLES,
    MirrorTables,
    Name,
    more_values,
)
from motoko.mirror.scalars import IN_SQL, PLAIN, restored


def names(tables: MirrorTables, table: int) -> list[Name]:
    """The names of all values that some run or job has, or has had."""
    known = dict.fromkeys(tables.fields(table))
    query = (
        f"SELECT DISTINCT key FROM {TABLES[table]}, json_each(more) WHERE more IS NOT NULL "
        "ORDER BY key"
    )
    known |= {Name(key[0] == "1", key[1:]): None for (key,) in tables.connection.execute(query)}
    return list(known)


def rows(tables: MirrorTables, table: int) -> Iterator[tuple[int, dict[Name, Any]]]:
    """All runs or jobs by number in order, each with the values that it has."""
    columns, values = ["id", "more"], dict[Name, Callable[[Sequence[Any]], Any]]()
    fields = tables.fields(table)
    for name in names(tables, table):
        places = []
        for column in fields.get(name, []):
            places.append((len(columns), column.kind))
            columns.append(column.column)
        values[name] = _value_of(name, places)
    query = f"SELECT {', '.join(columns)} FROM {TABLES[table]} ORDER BY id"
    for row in tables.connection.execute(query):
        held = ((name, value_of(row)) for name, value_of in values.items())
        yield row[0], {name: value for name, value in held if value is not None}


AT_ONCE = 20_000  # rows
Order = tuple[int, Sequence[Name], bool]


def _sort_key(tables: MirrorTables, order: Order) -> str:
    table, names_of, is_reverse = order
    fields = tables.fields(table)
    places = [
        f"{TABLES[table]}.{column.column}"
        for name in names_of
        for column in fields.get(name, [])
        if column.kind in IN_SQL
    ]
    if not places:
        return ""
    value = f"coalesce({', '.join([*places, 'NULL'])})"
    return f"{value} IS NULL, {value}{' DESC' if is_reverse else ''}, "


def _value_of(name: Name, places: list[tuple[int, str]]) -> Callable[[Sequence[Any]], Any]:
    """A function that takes the value of a name from a row of :func:`rows`."""
    more = 1
    if len(places) == 1 and places[0][1] == PLAIN:
        (place, _), *_ = places

        def plain(row: Sequence[Any]) -> Any:
            return row[place] if row[more] is None else value(row)

    def value(row: Sequence[Any]) -> Any:
        for place, kind in places:
            if row[place] is not None:
                return restored(kind, row[place])
        return more_values(row[more]).get(name) if row[more] is not None else None

    return plain if len(places) == 1 and places[0][1] == PLAIN else value


def parts(
    tables: MirrorTables,
    wanted: Sequence[tuple[int, Sequence[Name]]],
    where: str = "1",
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    order: Order | None = None,
    most: int = -1,
    skipped: int = 0,
) -> Iterator[list[Sequence[Any]]]:
    """The values of runs, a sequence for each column, thousands of runs at a time.

    Reading this many rows together takes few steps of Python.

    Args:
        wanted: for each column its table and names: the first of these that has a value counts.
        where: SQL that holds for the runs, and its parameters.
        order: a table, names, and whether the largest comes first: runs are ordered by the first of
            these names that has a value; without it by number. Numbers come before texts; rows
            without a value come last.
        most: how many runs at most.
        skipped: how many runs are left out before these.

    Returns:
        The numbers of the runs, then the wanted columns.
    """
    query = _Query(["runs.id"])
    has_more = tables.has_more
    more = {
        table: query.place(f"{TABLES[table]}.more") if has_more else None for table in (RUNS, JOBS)
    }
    read = [_ColumnRead(tables, query, *column, more[column[0]]) for column in wanted]
    key = _sort_key(tables, order) if order is not None else ""
    cursor = tables.connection.execute(
        f"SELECT {', '.join(query.columns)} FROM runs LEFT JOIN jobs ON jobs.id = runs.job_id "
        f"WHERE {where} ORDER BY {key}runs.id LIMIT {most} OFFSET {skipped}",
        parameters,
    )
    while rows := cursor.fetchmany(AT_ONCE):
        raw = list(zip(*rows, strict=True))
        yield [raw[0], *(column.values(raw) for column in read)]


def has_value(tables: MirrorTables, table: int, names_of: Sequence[Name]) -> bool:
    """Whether any run or job has a value in a column of one of these names."""
    return any(
        _first_stored(tables, table, column.column) is not None
        for name in names_of
        for column in tables.fields(table).get(name, [])
    )


def first_types(
    tables: MirrorTables, wanted: Sequence[tuple[int, Sequence[Name]]]
) -> list[type | None]:
    """The types of the first values of some columns, as :func:`parts` has them.

    ``None`` for a column that has no values, or values of several types.
    """
    return [_first_type(tables, *column) for column in wanted]


def have_values(tables: MirrorTables, wanted: Sequence[tuple[int, Sequence[Name]]]) -> list[bool]:
    """Whether some columns, as :func:`parts` has them, may have values: not those that had some."""
    return [
        tables.has_more
        or any(
            name in (fields := tables.fields(table))
            and any(_first_stored(tables, table, one.column) is not None for one in fields[name])
            for name in names_of
        )
        for table, names_of in wanted
    ]


def _first_type(tables: MirrorTables, table: int, names_of: Sequence[Name]) -> type | None:
    types = set()
    for name in names_of:
        for column in tables.fields(table).get(name, []):
            stored = _first_stored(tables, table, column.column)
            if stored is not None:
                types.add(type(restored(column.kind, stored)))
    return types.pop() if len(types) == 1 else None


def _first_stored(tables: MirrorTables, table: int, column: str) -> Any:
    row = tables.connection.execute(
        f"SELECT {column} FROM {TABLES[table]} WHERE {column} IS NOT NULL LIMIT 1"
    ).fetchone()
    return row and row[0]


@dataclass
class _Query:
    """What a query reads.

    Attributes:
        columns: their names in SQL.
    """

    columns: list[str]
    _places: dict[str, int] = field(default_factory=dict)

    def place(self, column: str) -> int:
        """The place of a column in a row."""
        if column not in self._places:
            self._places[column] = len(self.columns)
            self.columns.append(column)
        return self._places[column]


class _ColumnRead:
    """One column of values, made of all columns of the mirror that hold some of them."""

    def __init__(
        self,
        tables: MirrorTables,
        query: _Query,
        table: int,
        names_of: Sequence[Name],
        more: int | None,
    ) -> None:
        fields = tables.fields(table)
        self._names = [
            (
                name,
                [
                    (query.place(f"{TABLES[table]}.{column.column}"), column.kind)
                    for column in fields.get(name, [])
                ],
            )
            for name in names_of
        ]
        self._places = [place for _, places in self._names for place in places]
        self._more = more

    def values(self, raw: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """The values of some rows; ``raw`` has these rows' columns as they are stored."""
        values: Sequence[Any] | None = None
        for place, kind in self._places:
            stored = raw[place]
            if stored.count(None) == len(stored):
                continue
            here = stored if kind == PLAIN else [restored(kind, value) for value in stored]
            values = here if values is None else _first(values, here)
        values = values if values is not None else [None] * len(raw[0])
        if self._more is None or raw[self._more].count(None) == len(raw[0]):
            return values
        return [
            value if text is None else self._value([column[row] for column in raw], text)
            for row, (value, text) in enumerate(zip(values, raw[self._more], strict=True))
        ]

    def _value(self, row: Sequence[Any], more: str) -> Any:
        """The value of a row some of whose names have no column."""
        others = more_values(more)
        for name, places in self._names:
            for place, kind in places:
                if row[place] is not None:
                    return restored(kind, row[place])
            if name in others:
                return others[name]
        return None


def _first(ones: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [other if one is None else one for one, other in zip(ones, others, strict=True)]
