"""A number for each of very many runs, read by two threads at once: SQLite computes beside us."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from motoko.mirror.mirror_reading import reading
from motoko.mirror.mirror_tables import MirrorTables

SHARED_FROM = 50_000  # runs


def numbers(tables: MirrorTables, what: str, where: str, values: Sequence[Any]) -> list[int]:
    """A number for each run that meets a condition, by the runs' ids in order.

    Args:
        tables: the mirror's tables.
        what: the SQL of an integer.
        where: the SQL condition, and the values of its parameters.

    Raises ``sqlite3.Error``.
    """
    query = f"SELECT json_group_array({what}) FROM runs NOT INDEXED WHERE ({where})"
    count, last = tables.connection.execute("SELECT count(*), max(id) FROM runs").fetchone()
    path = _path(tables)
    if path is None or count < SHARED_FROM:
        return _decoded(tables, query, values)
    halves = [f"{query} AND runs.id {half}" for half in (f"<= {last // 2}", f"> {last // 2}")]
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(_from_file, path, tables.meta(), halves[1], values)
        first = _decoded(tables, halves[0], values)
        second = beside.result()
    return first + (_decoded(tables, halves[1], values) if second is None else second)


def _path(tables: MirrorTables) -> Path | None:
    """The mirror's file; ``None`` if it is in memory."""
    (path,) = tables.connection.execute(
        "SELECT file FROM pragma_database_list WHERE name = 'main'"
    ).fetchone()
    return Path(path) if path else None


def _from_file(
    path: Path, meta: dict[str, Any], query: str, values: Sequence[Any]
) -> list[int] | None:
    """What a connection of its own reads; ``None`` if the mirror has been written meanwhile."""
    try:
        with reading(path) as tables:
            return _decoded(tables, query, values) if tables.meta() == meta else None
    except sqlite3.Error:
        return None  # the first connection tells what is wrong


def _decoded(tables: MirrorTables, query: str, values: Sequence[Any]) -> list[int]:
    # One JSON array, because rows would come one by one.
    (text,) = tables.connection.execute(query, values).fetchone()
    return msgspec.json.decode(text, type=list[int])
