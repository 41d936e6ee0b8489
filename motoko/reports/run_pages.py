"""One page of a study's runs, for views that show a few of many runs at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.mirror.scalars import LeftOut
from motoko.reports.chosen_runs import Wanted, chosen_runs
from motoko.reports.overview import COLUMNS
from motoko.reports.result_columns import FIRST
from motoko.runs.run_times import started
from motoko.runs.states import FAILED_STATES, FINISHED, RUNNING_STATES, WAITING_STATES

_TIMES = ("start_time", "attempt_ended", "failure_reason")
_STATES: Mapping[str, Collection[str]] = dict(
    zip(COLUMNS, (WAITING_STATES, RUNNING_STATES, {FINISHED}, FAILED_STATES), strict=True)
)


@dataclass(frozen=True)
class RunQuery:
    """Which runs of a study are wanted, and in which order.

    Attributes:
        column: only runs that this column of the overview counts: one of
            :data:`motoko.reports.overview.COLUMNS`, or a user's own state; empty: all runs.
        constraints: as in ``select``; empty: all runs.
        sort: the column by which they are sorted; empty: by id.
        is_reverse: whether the largest comes first.
    """

    column: str = ""
    constraints: str = ""
    sort: str = ""
    is_reverse: bool = False


@dataclass(frozen=True)
class PagedRun:
    """A run of a page.

    Attributes:
        values: its parameters and results, as the page's ``names``.
        started, ended: seconds since 1970, as far as they are known.
        reason: why it failed; empty if it did not.
    """

    run_id: int
    state: str
    run_name: str | None
    values: tuple[Any, ...]
    started: float | None = None
    ended: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class RunPage:
    """Some of the runs that a query finds.

    Attributes:
        total: how many it finds in all.
        first: how many of them come before the page.
        names: the names of the parameters, then of the results.
        tid: the transaction whose state is shown.
        without: why the mirror could not tell all of it; ``None`` if it did.
    """

    total: int = 0
    first: int = 0
    names: tuple[str, ...] = ()
    runs: Sequence[PagedRun] = field(default=())
    tid: str = ""
    without: str | None = None


def run_page(
    config: WorkflowConfig, study: StudyConfig, query: RunQuery, first: int, count: int
) -> RunPage:
    """The page with ``count`` runs from ``first`` on.

    Raises what :func:`motoko.reports.chosen_runs.chosen_runs` raises.
    """
    wanted = Wanted(
        constraints=[query.constraints] if query.constraints else (),
        sort=query.sort or ("id" if query.is_reverse else None),
        is_reverse=query.is_reverse,
        states=_STATES.get(query.column, [query.column] if query.column else ()),
    )
    with chosen_runs(config, study, wanted) as runs:
        columns = runs.columns
        shown = [column for column in columns.shown() if column.label not in FIRST]
        read = [columns.named(name) for name in FIRST[1:]]
        read += [columns.field("runs", name) for name in _TIMES]
        total = runs.count()
        rows = [
            _run(study, row)
            for part in runs.parts([*read, *shown], (first, count))
            for row in zip(*part, strict=True)
        ]
        names = tuple(column.label for column in shown)
        return RunPage(total, first, names, rows, runs.moment.tid, runs.moment.without)


def _run(study: StudyConfig, row: Sequence[Any]) -> PagedRun:
    number, state, run_name, start, ended, reason, *values = row
    moment = None
    if isinstance(start, datetime):
        moment = started({"start_time": start}, study.policy.environment)
    return PagedRun(
        number,
        str(state),
        None if run_name is None else str(run_name),
        tuple(f"<{value.what}>" if isinstance(value, LeftOut) else value for value in values),
        None if moment is None else moment.timestamp(),
        ended if isinstance(ended, (int, float)) else None,
        "" if reason is None else str(reason),
    )
