"""The results of a study: a row for each run, of one moment."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConstraintError, StudyUnavailable
from motoko.mirror.constraint_sql import where
from motoko.mirror.current_mirror import Moment, current
from motoko.mirror.mirror_tables import JOBS, RUNS
from motoko.mirror.mirrored_rows import selected
from motoko.mirror.scalars import LeftOut
from motoko.reports.result_columns import ResultColumn, ResultColumns
from motoko.store.constraints import compile_constraints
from motoko.store.predicates import Predicate


@dataclass(frozen=True)
class Wanted:
    """Which results are wanted.

    Attributes:
        constraints: what runs have to obey.
        run_name: only those of this one.
        columns: names, in order; none: all parameters, and what runs carry.
        sort: a column by which they are sorted; by ids if there is none.
        is_reverse: from the largest on.
        limit: the most runs.
    """

    constraints: Sequence[str] = ()
    run_name: str | None = None
    columns: Sequence[str] = ()
    sort: str | None = None
    is_reverse: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Results:
    """Rows of values, of one moment.

    Attributes:
        columns: what they are called.
        rows: the values, read as they are asked for.
        tid: the transaction after which they were so.
        without: why the study's mirror could not tell all of them; ``None`` if it did.
    """

    columns: list[str]
    rows: Iterator[list[Any]]
    tid: str
    without: str | None


@contextlib.contextmanager
def results(config: WorkflowConfig, study: StudyConfig, wanted: Wanted) -> Iterator[Results]:
    """A study's results, which can be read while the block runs.

    Raises ``ConfigError`` for a column that there is not, ``ConstraintError``, and as
    :func:`motoko.mirror.current_mirror.current`; reading the rows, too.
    """
    predicate = compile_constraints(
        wanted.constraints, job_types=study.jobs, run_types=study.runs, study=study.name
    )
    with current(config, study) as moment:
        columns = ResultColumns(study, moment.tables)
        shown = [columns.named(name) for name in wanted.columns] or columns.shown()
        read = [columns.field(*field.split(".")) for field in sorted(predicate.reads)]
        read.append(columns.named("run_name"))
        key = columns.named(wanted.sort) if wanted.sort is not None else None
        rows = _rows(study, moment, shown, read, predicate, wanted, key)
        yield Results(
            [column.label for column in shown],
            itertools.islice(rows, wanted.limit),
            moment.tid,
            moment.without,
        )


def _rows(
    study: StudyConfig,
    moment: Moment,
    shown: Sequence[ResultColumn],
    read: Sequence[ResultColumn],
    predicate: Predicate,
    wanted: Wanted,
    key: ResultColumn | None,
) -> Iterator[list[Any]]:
    """The values of all runs that are wanted."""
    needed = [*shown, *read]
    stored = {
        table: list(
            dict.fromkeys(
                name for column in needed if column.table == table for name in column.names
            )
        )
        for table in (RUNS, JOBS)
    }
    places = {
        (table, name): place
        for place, (table, name) in enumerate(
            ((table, name) for table in stored for name in stored[table]), 1
        )
    }
    outputs = [[places[column.table, name] for name in column.names] for column in shown]
    fields = [
        (column.table, column.names[-1].name, [places[column.table, name] for name in column.names])
        for column in read
    ]
    order = (key.table, key.names, wanted.is_reverse) if key is not None else None
    try:
        candidates = where(moment.tables, predicate)
        for row in selected(moment.tables, stored, order=order, where=candidates):
            entries = {table: _Read(f"{study.name}.{row[0]}") for table in (RUNS, JOBS)}
            entries[RUNS]["id"] = row[0]
            for table, name, found_at in fields:
                entries[table][name] = _first(row, found_at)
            run = entries[RUNS]
            if wanted.run_name is not None and run["run_name"] != wanted.run_name:
                continue
            if not predicate(run, entries[JOBS]):
                continue
            yield [_first(row, found_at) for found_at in outputs]
    except sqlite3.Error as error:
        raise StudyUnavailable(
            f"the mirror of study {study.name} cannot be read: {error}",
            hint="remove it from .wf/mirror: the watcher makes it anew",
        ) from error


def _first(row: Sequence[Any], places: Sequence[int]) -> Any:
    for place in places:
        if row[place] is not None:
            return row[place]
    return None


class _Read(dict[str, Any]):
    """Entries of a run or its job, by name. ``ConstraintError`` for one that was left out."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def get(self, name: str, default: Any = None) -> Any:
        value = super().get(name, default)
        if isinstance(value, LeftOut):
            raise ConstraintError(
                f"run {self._run}: {name} ({value.what}) is too large to be compared",
                hint="select by another entry, or in Python: `workflow.study.select(...)`",
            )
        return value
