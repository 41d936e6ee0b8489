"""Parameters and results of runs as tables: what ``motoko table`` shows, for programs.

If there are no unsaved changes, the tables are read from the study's mirror. Unsaved changes are
known to this process alone: then the tables are made of the runs' objects.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from motoko.api.frames import RunTable
from motoko.errors import ConfigError, ConstraintError
from motoko.mirror.current_mirror import Moment, current
from motoko.mirror.mirror_file import Mirror
from motoko.mirror.mirror_tables import JOBS, RUNS, MirrorTables, Name, Owner
from motoko.mirror.mirrored_rows import parts
from motoko.mirror.run_index import NO_VALUES
from motoko.mirror.scalars import LeftOut
from motoko.reports.chosen_runs import Wanted
from motoko.reports.result_columns import FIRST, ResultColumn, ResultColumns
from motoko.reports.results import results
from motoko.runs.entries import DocumentedEntries

if TYPE_CHECKING:
    from motoko.store.base import StudyBase

FEW = 500  # this many runs' objects are loaded quickly
_warned: set[str] = set()  # studies

log = logging.getLogger(__name__)
Pairs = Sequence[tuple[Any, Any]]


def table_of_selected(
    base: StudyBase,
    constraints: Sequence[str],
    select: Callable[[], Pairs],
    columns: Sequence[str] | str | None,
) -> RunTable:
    """A table of the runs that a selection selects now.

    Args:
        base: the study's base.
        constraints: the selection's constraints.
        select: gives the selection's pairs.
        columns: the columns' names; ``None`` for all.

    Raises ``ConfigError`` for a column that does not exist, and whatever ``select`` raises.
    """
    from motoko.store.session import session

    wanted = _names(columns)
    session().look()
    if not session().pending:
        # Values that cannot be compared in the mirror may be comparable as objects.
        with contextlib.suppress(ConstraintError):
            asked = Wanted(constraints, columns=[*wanted, "id"] if wanted else ())
            with results(base.engine.definition, base.study, asked) as answer:
                _say(base.study.name, answer.without)
                rows = list(answer.rows)
            table = RunTable(answer.columns, rows, {base.study.name: answer.tid})
            if rows or not base.predicate(constraints).undeclared:
                return _completed(base, table, wanted)
    return _of_objects(base, select(), wanted)


def table_of_runs(
    pairs: Pairs, base: StudyBase | None, columns: Sequence[str] | str | None
) -> RunTable:
    """A table of some runs of one study as they are now, in their order, without deleted runs.

    Args:
        pairs: the runs and their jobs.
        base: the study's base; ``None`` if it is not known: there are no runs then.
        columns: the columns' names; ``None`` for all.

    Raises ``ConfigError`` for a column that does not exist.
    """
    from motoko.store.session import session

    wanted = _names(columns)
    if base is None:
        return RunTable(wanted or list(FIRST), [])
    session().look()
    if session().pending or len(pairs) <= FEW:
        return _of_objects(base, pairs, wanted)
    with current(base.engine.definition, base.study) as moment:
        _say(base.study.name, moment.without)
        query = "SELECT record, id FROM runs"
        numbers = dict(moment.tables.connection.execute(query))
        ids = [numbers.get(int.from_bytes(run._p_oid, "big")) for run, _ in pairs]
        shown = _shown(ResultColumns(base.study, moment.tables), wanted)
        rows = _rows(moment.tables, shown, [number for number in ids if number is not None])
    table = RunTable([column.label for column in shown], rows, {base.study.name: moment.tid})
    return _completed(base, table, wanted)


def one_study(pairs: Pairs) -> StudyBase | None:
    """The base of the study whose runs these are; ``ConfigError`` if they are of several."""
    connections = {run._p_jar: run for run, _ in pairs}
    if len(connections) > 1:
        names = sorted(run.base.study.name for run in connections.values())
        raise ConfigError(
            f"these are runs of several studies: {', '.join(names)}",
            hint="make a table of each: the columns are other ones",
        )
    base: StudyBase | None = next((run.base for run in connections.values()), None)
    return base


def _names(columns: Sequence[str] | str | None) -> list[str]:
    """The names of the columns that are asked for, each once; an empty list means all."""
    if isinstance(columns, str):
        columns = columns.split(",")
    names = list(dict.fromkeys(name.strip() for name in columns or ()))
    if columns is not None and not all(names):
        raise ConfigError(f"columns: an empty name, in {list(columns)!r}", hint='["x", "energy"]')
    return names


def _shown(columns: ResultColumns, wanted: Sequence[str]) -> list[ResultColumn]:
    """The wanted columns, and at the end the id, by which the runs are found again."""
    if not wanted:
        return columns.shown()
    return [*(columns.named(name) for name in wanted), columns.named("id")]


def _of_objects(base: StudyBase, pairs: Pairs, wanted: Sequence[str]) -> RunTable:
    """A table made of the runs' objects in this process, with their unsaved changes."""
    pairs = [pair for pair in _loaded(base, pairs) if _is_there(base, pair[0])]
    with current(base.engine.definition, base.study) as moment:
        _say(base.study.name, moment.without)
        tables = _with_objects(moment, pairs)
        saved = ResultColumns(base.study, moment.tables)
    shown = _shown(ResultColumns(base.study, tables), wanted)
    if not wanted:
        shown = list({column.label: column for column in (*saved.shown(), *shown)}.values())
    rows = _rows(tables, shown, [run.entries["id"] for run, _ in pairs])
    return _completed(base, RunTable([column.label for column in shown], rows), wanted)


def _loaded(base: StudyBase, pairs: Pairs) -> Pairs:
    remaining = iter(pairs)
    while part := list(itertools.islice(remaining, FEW)):
        base.load([run for run, _ in part])
        base.load([job for _, job in part])
    return pairs


def _is_there(base: StudyBase, run: Any) -> bool:
    """Whether a run still exists."""
    return base.runs.entries.get(run.entries["id"]) is run


def _with_objects(moment: Moment, pairs: Pairs) -> MirrorTables:
    """A mirror that holds only some runs, with the values of their objects."""
    tables = Mirror.copy_of(moment.tables).tables
    tables.clear()  # the columns remain, and with them the mirror's order of the names
    for run, job in pairs:
        for owner, thing in (
            (Owner(RUNS, run.entries["id"]), run),
            (Owner(JOBS, job.entries["id"]), job),
        ):
            if tables.record(owner) is None:
                tables.add(owner, owner.number)
                tables.write(owner, _values_of(thing))
    return tables


def _values_of(thing: Any) -> dict[Name, Any]:
    """The values of a run or a job: its entries and its attributes."""
    from motoko.store.values import plain

    values = {
        Name(True, name): plain(value)
        for name, value in vars(thing).items()
        if name not in NO_VALUES and not name.startswith("_") and not hasattr(value, "_p_oid")
    }
    return values | {
        Name(False, name): plain(value)
        for name, value in thing.entries.items()
        if isinstance(name, str)
    }


def _rows(
    tables: MirrorTables, shown: Sequence[ResultColumn], numbers: Sequence[int]
) -> list[list[Any]]:
    """The values of some runs, in their order."""
    wanted = set(numbers)
    columns = [(column.table, column.names) for column in shown]
    by_number = {
        number: values
        for part in parts(tables, columns)
        for number, *values in zip(*part, strict=True)
        if number in wanted
    }
    return [by_number[number] for number in numbers if number in by_number]


def _completed(base: StudyBase, table: RunTable, wanted: Sequence[str]) -> RunTable:
    """The table with the values that the mirror has left out, in the columns that were named."""
    if not wanted:
        return table
    columns, rows = list(table.columns)[: len(wanted)], []
    for *values, number in table.rows:
        lacking = [place for place, value in enumerate(values) if isinstance(value, LeftOut)]
        if lacking and (run := base.runs.entries.get(number)) is not None:
            job = base.jobs.entries.get(run.entries.get("job_id"))
            for place in lacking:
                values[place] = _value(base, columns[place], run, job, values[place])
        rows.append(values)
    return RunTable(columns, rows, table.tids)


def _value(base: StudyBase, label: str, run: Any, job: Any, otherwise: Any) -> Any:
    """A run's value in a column, from the database."""
    where, _, name = label.rpartition(".")
    of_run: Mapping[str, Any] = DocumentedEntries(run.entries, vars(run))
    of_job: Mapping[str, Any] = job.entries if job is not None else {}
    sources: Iterable[Mapping[str, Any]] = {"runs": [of_run], "jobs": [of_job]}.get(
        where, [of_job, of_run] if label.lower() in base.study.jobs else [of_run, of_job]
    )
    for source in sources:
        for key in (label, name, name.lower()):
            if key in source:
                return source[key]
    return otherwise


def _say(study: str, without: str | None) -> None:
    if without is not None and study not in _warned:
        _warned.add(study)
        log.warning(
            "study %s: tables are read from the database, which takes longer: its mirror cannot "
            "tell all of this: %s",
            *(study, without),
        )
