"""The plot of a study's results: points by series, and how they are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError
from motoko.host.durations import counted
from motoko.host.printable import shortened
from motoko.reports.chosen_runs import Wanted
from motoko.reports.result_texts import as_text
from motoko.reports.results import results

SERIES_MAX = 40
NOTHING = "no value"
LONG = 60  # longer names of series and places are cut


@dataclass(frozen=True)
class Axes:
    """Which columns are plotted.

    Attributes:
        x: the column of the horizontal axis.
        y: the column of the vertical axis.
        by: the column each of whose values has its own series.
    """

    x: str
    y: str
    by: str | None = None


@dataclass(frozen=True)
class Series:
    """Points that belong together, from left to right.

    Attributes:
        label: what the points have in common; empty if there is only one series.
        x: numbers or times; indices of categories, if there are categories.
        y: numbers or times.
    """

    label: str
    x: list[Any]
    y: list[Any]


@dataclass(frozen=True)
class Plot:
    """A plot of the results at one moment.

    Attributes:
        title: names the study, the columns and the constraints.
        axes: the columns.
        series: the series that are drawn.
        categories: the names of the places along x; empty if x is numbers or times.
        has_lines: whether the points of a series are joined.
        left_out: how many runs have no value that can be drawn.
        tid: the transaction whose state the values show.
        without: why the study's mirror could not give all values; ``None`` if it did.
    """

    title: str
    axes: Axes
    series: list[Series]
    categories: list[str]
    has_lines: bool
    left_out: int
    tid: str
    without: str | None


def plotted(
    config: WorkflowConfig,
    study: StudyConfig,
    axes: Axes,
    constraints: Sequence[str] = (),
    run_name: str | None = None,
) -> Plot:
    """A plot of a study's results.

    Raises ``ConfigError`` for a column that does not exist, if there is nothing to draw, and for
    too many series; and what :func:`motoko.reports.results.results` raises.
    """
    parameters = [f"jobs.{name}" for name in study.jobs]
    by = [axes.by] if axes.by is not None else []
    wanted = Wanted(constraints, run_name, [axes.x, axes.y, *by, *parameters])
    with results(config, study, wanted) as answer:
        rows = list(answer.rows)
    title = ", ".join([f"{study.name}: {axes.y} over {axes.x}", *constraints])
    return arranged(study, axes, rows, title=title, tid=answer.tid, without=answer.without)


def arranged(
    study: StudyConfig,
    axes: Axes,
    rows: Sequence[Sequence[Any]],
    *,
    title: str = "",
    tid: str = "",
    without: str | None = None,
) -> Plot:
    """A plot of rows that hold x, y, ``by`` if that is given, and all job parameters. Pure logic.

    Raises ``ConfigError`` if there is nothing to draw, and for too many series.
    """
    drawn = [row for row in rows if _is_there(row[0]) and _can_be_drawn(row[1])]
    if not rows:
        raise ConfigError(
            f"study {study.name}: there is nothing to plot: no run is chosen",
            hint=f"`motoko info --bd_study {study.name}` shows which runs there are",
        )
    if not drawn:
        raise ConfigError(
            f"study {study.name}: there is nothing to plot: none of {counted(len(rows), 'run')} "
            f"has {axes.x} and a number as {axes.y}",
            hint=f"`motoko table {study.name} --columns id,state,{axes.x},{axes.y}` shows them",
        )
    if len({isinstance(row[1], date) for row in drawn}) > 1:
        raise ConfigError(f"study {study.name}: {axes.y} is a number in some, a date in others")
    categories = _categories([row[0] for row in drawn])
    groups = _groups(study, axes, drawn)
    is_parameter = _plain(axes.x) in study.jobs or _plain(axes.x) in study.runs
    own = {_plain(name) for name in (axes.x, axes.y, axes.by or "")}
    first = 2 if axes.by is None else 3
    others = [first + place for place, name in enumerate(study.jobs) if name not in own]
    return Plot(
        title,
        axes,
        [_series(label, group, categories) for label, group in groups.items()],
        categories,
        is_parameter
        and not categories
        and any(len(group) > 1 for group in groups.values())
        and all(_is_a_line(group, others) for group in groups.values()),
        len(rows) - len(drawn),
        tid,
        without,
    )


def _groups(
    study: StudyConfig, axes: Axes, rows: list[Sequence[Any]]
) -> dict[str, list[Sequence[Any]]]:
    """The rows of each series, by its label."""
    if axes.by is None:
        return {"": rows}
    groups: dict[str, list[Sequence[Any]]] = {}
    for row in sorted(rows, key=lambda row: _order(row[2])):
        groups.setdefault(f"{axes.by} = {_text(row[2])}", []).append(row)
    if len(groups) > SERIES_MAX:
        raise ConfigError(
            f"study {study.name}: {axes.by} has {len(groups)} values: too many series",
            hint=f"choose some by --constraints; {SERIES_MAX} can be told apart",
        )
    return groups


def _series(label: str, rows: list[Sequence[Any]], categories: list[str]) -> Series:
    places = {text: place for place, text in enumerate(categories)}
    points = [(places[_text(x)] if categories else x, y) for x, y, *_ in rows]
    points.sort(key=lambda point: point[0])
    return Series(label, [x for x, _ in points], [y for _, y in points])


def _is_a_line(rows: Sequence[Sequence[Any]], others: Iterable[int]) -> bool:
    """Whether each x has one y, and nothing else was varied: otherwise a line would zigzag."""
    return len({row[0] for row in rows}) == len(rows) and all(
        len({_text(row[place]) for row in rows}) == 1 for place in others
    )


def _plain(name: str) -> str:
    return name.removeprefix("jobs.").removeprefix("runs.").lower()


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _can_be_drawn(value: Any) -> bool:
    if isinstance(value, (int, float)):
        try:
            return math.isfinite(float(value))
        except OverflowError:
            return False
    return isinstance(value, date)


def _categories(values: Sequence[Any]) -> list[str]:
    """The values as texts, each once, in order; none if all values are numbers or all are times."""
    if all(_is_number(value) and _can_be_drawn(value) for value in values):
        return []
    if all(isinstance(value, date) for value in values) and len({*map(_zone_kind, values)}) == 1:
        return []
    return list(dict.fromkeys(map(_text, sorted(values, key=_order))))


def _zone_kind(value: Any) -> tuple[bool, bool]:
    return hasattr(value, "hour"), getattr(value, "tzinfo", None) is not None


def _order(value: Any) -> tuple[int, Any]:
    """The sort key of a value: numbers come first, then texts, and missing values last."""
    if value is None:
        return 2, ""
    return (0, value) if isinstance(value, (int, float)) and value == value else (1, _text(value))


def _text(value: Any) -> str:
    return NOTHING if value is None else shortened(str(as_text(value)), LONG)
