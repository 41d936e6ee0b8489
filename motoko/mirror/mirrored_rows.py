"""The rows of a mirror with their values as Python has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from motoko.mirror.constraint_sql import ALL, Where
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
    wanted = names(tables, table)
    for number, *values in selected(tables, {table: wanted}, table):
        held = zip(wanted, values, strict=True)
        yield number, {name: value for name, value in held if value is not None}


Order = tuple[int, Sequence[Name], bool]


def selected(
    tables: MirrorTables,
    wanted: Mapping[int, Sequence[Name]],
    of: int = RUNS,
    order: Order | None = None,
    where: Where | None = None,
) -> Iterator[list[Any]]:
    """For all runs, by number in order: the number, and the values of some names.

    Args:
        wanted: names of values of the runs, and of their jobs: values are given in this order.
        of: ``JOBS``: for all jobs.
        order: another order, by the first of some names that has a value, and whether the largest
            comes first. Numbers are before texts; rows without a value come last.
        where: not all runs, but those for which it holds.
    """
    columns, parts = [f"{TABLES[of]}.id"], list[Callable[[Sequence[Any]], Any]]()
    for table, names_of in wanted.items():
        fields = tables.fields(table)
        more = len(columns)
        columns.append(f"{TABLES[table]}.more")
        for name in names_of:
            places = []
            for column in fields.get(name, []):
                places.append((len(columns), column.kind))
                columns.append(f"{TABLES[table]}.{column.column}")
            parts.append(_value_of(name, places, more))
    joined = of == RUNS and (JOBS in wanted or (order is not None and order[0] == JOBS))
    join = " LEFT JOIN jobs ON jobs.id = runs.job_id" if joined else ""
    key = _sort_key(tables, order) if order is not None else ""
    query = (
        f"SELECT {', '.join(columns)} FROM {TABLES[of]}{join} "
        f"WHERE {where.sql if where is not None else ALL} ORDER BY {key}{TABLES[of]}.id"
    )
    for row in tables.connection.execute(query, where.parameters if where is not None else {}):
        yield [row[0], *(part(row) for part in parts)]


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


def _value_of(
    name: Name, places: list[tuple[int, str]], more: int
) -> Callable[[Sequence[Any]], Any]:
    """What takes the value of a name from a row."""
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
