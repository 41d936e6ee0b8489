"""The results of a study at one moment: a row for each run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.mirror.mirrored_rows import first_types, have_values
from motoko.reports.chosen_runs import ChosenRuns, Wanted, chosen_runs
from motoko.reports.result_columns import FIRST, ResultColumn

Part = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Results:
    """Rows of values at one moment.

    Attributes:
        columns: the names of the columns.
        parts: the values, a sequence for each column: some thousand rows at a time, read as they
            are asked for.
        types: the type of the first value of each column; ``None`` if a column has no values.
        tid: the transaction whose state they show.
        without: why the study's mirror could not give all values; ``None`` if it did.
    """

    columns: list[str]
    parts: Iterator[Part]
    types: Sequence[type | None]
    tid: str
    without: str | None

    @property
    def rows(self) -> Iterator[Sequence[Any]]:
        """The values row by row."""
        return (row for part in self.parts for row in zip(*part, strict=True))


@contextlib.contextmanager
def results(config: WorkflowConfig, study: StudyConfig, wanted: Wanted) -> Iterator[Results]:
    """A study's results, which can be read while the block runs.

    Raises what :func:`motoko.reports.chosen_runs.chosen_runs` raises. Reading the values may raise
    the same.
    """
    with chosen_runs(config, study, wanted) as runs:
        moment = runs.moment
        shown = runs.named() or _with_values(runs, study)
        yield Results(
            [column.label for column in shown],
            first_rows((part[1:] for part in runs.parts(shown)), wanted.limit),
            first_types(moment.tables, [(column.table, column.names) for column in shown]),
            moment.tid,
            moment.without,
        )


def _with_values(runs: ChosenRuns, study: StudyConfig) -> list[ResultColumn]:
    """All columns but those of results that no run has any more."""
    shown = runs.columns.shown()
    places = [(column.table, column.names) for column in shown]
    have = have_values(runs.moment.tables, places)
    declared = {*FIRST, *study.jobs, *study.runs}
    return [
        column
        for column, has_values in zip(shown, have, strict=True)
        if has_values or column.names[-1].name in declared
    ]


def first_rows(parts_of: Iterator[Part], limit: int | None) -> Iterator[Part]:
    """At most ``limit`` rows, from the first on."""
    if limit is None:
        yield from parts_of
        return
    while limit > 0 and (part := next(parts_of, None)) is not None:
        yield [column[:limit] for column in part]
        limit -= len(part[0])
