"""The results of a study: a row for each run, of one moment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.mirror.mirrored_rows import first_types
from motoko.reports.chosen_runs import Wanted, chosen_runs

Part = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Results:
    """Rows of values, of one moment.

    Attributes:
        columns: what they are called.
        parts: the values, a sequence for each column: some thousand rows at a time, read as they
            are asked for.
        types: of the values of each column that come first; ``None`` where there are none.
        tid: the transaction after which they were so.
        without: why the study's mirror could not tell all of them; ``None`` if it did.
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

    Raises as :func:`motoko.reports.chosen_runs.chosen_runs`; reading the values, too.
    """
    with chosen_runs(config, study, wanted) as runs:
        shown = runs.named() or runs.columns.shown()
        moment = runs.moment
        yield Results(
            [column.label for column in shown],
            first_rows((part[1:] for part in runs.parts(shown)), wanted.limit),
            first_types(moment.tables, [(column.table, column.names) for column in shown]),
            moment.tid,
            moment.without,
        )


def first_rows(parts_of: Iterator[Part], limit: int | None) -> Iterator[Part]:
    """The first rows, some at most."""
    if limit is None:
        yield from parts_of
        return
    while limit > 0 and (part := next(parts_of, None)) is not None:
        yield [column[:limit] for column in part]
        limit -= len(part[0])
