"""The rows of a mirror with their values as Python has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from motoko.mirror.mirror_tables import (
    JOBS,
    RUNS,
    TABLES,
    MirrorTables,
    Name,
    more_values,
)
from motoko.mirror.scalars import PLAIN, restored


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


def selected(
    tables: MirrorTables, wanted: dict[int, Sequence[Name]], of: int = RUNS
) -> Iterator[list[Any]]:
    """For all runs, by number in order: the number, and the values of some names.

    Args:
        wanted: names of values of the runs, and of their jobs: values are given in this order.
        of: ``JOBS``: for all jobs.
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
    join = " LEFT JOIN jobs ON jobs.id = runs.job_id" if of == RUNS and JOBS in wanted else ""
    query = f"SELECT {', '.join(columns)} FROM {TABLES[of]}{join} ORDER BY {TABLES[of]}.id"
    for row in tables.connection.execute(query):
        yield [row[0], *(part(row) for part in parts)]


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
