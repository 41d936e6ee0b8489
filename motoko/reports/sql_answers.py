"""Read-only SQL over the results of all studies, each of which is a table."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import MotokoError
from motoko.layout import mirror_path
from motoko.mirror.current_mirror import Moment, current
from motoko.mirror.mirror_reading import uri_of
from motoko.mirror.mirror_tables import TABLES, MirrorTables
from motoko.mirror.scalars import IN_SQL
from motoko.reports.result_columns import ResultColumn, ResultColumns

ATTACHED_MAX = 10  # SQLite's usual limit of attached databases
_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_LOG_VERSIONS = slice(18, 20)  # the bytes in which a database says that it has a write-ahead log


class QueryError(MotokoError):
    """A query that SQLite does not understand, or that would change something."""

    exit_code = 2


@dataclass(frozen=True)
class Answer:
    """The answer to a query.

    Attributes:
        columns: the names of the columns.
        rows: the rows of values, read as they are asked for.
        moments: the moment of each study that was read, by name.
    """

    columns: list[str]
    rows: Iterator[Sequence[Any]]
    moments: dict[str, Moment]


@contextlib.contextmanager
def answer(config: WorkflowConfig, sql: str) -> Iterator[Answer]:
    """The answer to a query, which can be read while the block runs.

    Only studies that the query names are read. Raises ``QueryError``, and what
    :func:`motoko.mirror.current_mirror.current` raises. Reading the rows may raise the same.
    """
    studies = [study for study in config.studies.values() if _names(sql, study.name)]
    if len(studies) > ATTACHED_MAX:
        raise QueryError(f"the query names {len(studies)} studies; {ATTACHED_MAX} are possible")
    moments: dict[str, Moment] = {}
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(
            contextlib.closing(sqlite3.connect("file::memory:", uri=True, isolation_level=None))
        )
        for number, study in enumerate(studies):
            moment = stack.enter_context(current(config, study))
            _attach(connection, f"study{number}", config, study, moment)
            moments[study.name] = moment
        connection.execute("BEGIN")
        for number, study in enumerate(studies):
            _show(connection, f"study{number}", study, moments[study.name].tables)
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
        )
        try:
            cursor = connection.execute(sql)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _error(config, error) from error
        if cursor.description is None:
            raise QueryError("the query gives no rows", hint="write SELECT ...")
        yield Answer([column[0] for column in cursor.description], _rows(config, cursor), moments)


def _names(sql: str, study: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(study)}(?![\w-])", sql, re.IGNORECASE) is not None


def _attach(
    connection: sqlite3.Connection,
    schema: str,
    config: WorkflowConfig,
    study: StudyConfig,
    moment: Moment,
) -> None:
    uri = uri_of(mirror_path(config.directory, study.name))
    if moment.without is None and uri is not None:
        connection.execute(f"ATTACH ? AS {schema}", (uri,))
        return
    data = bytearray(moment.tables.connection.serialize())
    data[_LOG_VERSIONS] = b"\1\1"  # this copy has no write-ahead log
    connection.execute(f"ATTACH ':memory:' AS {schema}")
    connection.deserialize(bytes(data), name=schema)


def _show(
    connection: sqlite3.Connection, schema: str, study: StudyConfig, tables: MirrorTables
) -> None:
    """Make the study's table: a view that only this connection has."""
    taken: set[str] = set()
    columns = []
    for column in ResultColumns(study, tables).all():
        label = column.label
        while label.lower() in taken:  # SQL does not tell capital letters from small ones
            label += "_"
        taken.add(label.lower())
        columns.append(f"{_value(column, tables)} AS {_quoted(label)}")
    connection.execute(
        f"CREATE TEMP VIEW {_quoted(study.name)} AS SELECT {', '.join(columns)} "
        f"FROM {schema}.runs LEFT JOIN {schema}.jobs ON jobs.id = runs.job_id"
    )


def _value(column: ResultColumn, tables: MirrorTables) -> str:
    fields = tables.fields(column.table)
    places = [
        f"{TABLES[column.table]}.{place.column}"
        for name in column.names
        for place in fields.get(name, [])
        if place.kind in IN_SQL
    ]
    if column.label == "id":
        return "runs.id"
    return f"coalesce({', '.join(places)}, NULL)" if places else "NULL"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _rows(config: WorkflowConfig, cursor: sqlite3.Cursor) -> Iterator[Sequence[Any]]:
    try:
        # Of the cursor itself, `yield from` would close it, when the database is closed already.
        yield from iter(cursor.fetchone, None)
    except sqlite3.Error as error:
        raise _error(config, error) from error


def _error(config: WorkflowConfig, error: Exception) -> QueryError:
    text = str(error)
    if "not authorized" in text or "prohibited" in text:
        return QueryError(f"only SELECT is possible here: {text}")
    return QueryError(text, hint=f"the tables are the studies: {', '.join(config.studies)}")
