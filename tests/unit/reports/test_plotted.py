"""What is plotted: series, categories, lines or points, and what is left out."""

import datetime
import math
from types import SimpleNamespace

import pytest

from motoko.errors import ConfigError
from motoko.reports.plotted import Axes, arranged

STUDY = SimpleNamespace(name="solve", jobs={"load": float, "mesh": object}, runs={"y": float})


def plot(rows, *, x="load", y="energy", by=None):
    """Of rows with load, energy and mesh."""
    places = {"load": 0, "energy": 1, "mesh": 2}
    names = [x, y, *([by] if by else []), "load", "mesh"]
    wanted = [[row[places[name]] for name in names] for row in rows]
    return arranged(STUDY, Axes(x, y, by), wanted)


def test_a_line_from_left_to_right():
    made = plot([(2.0, 5.0, "a"), (1, 4.0, "a"), (3.0, 1, "a")])
    (series,) = made.series
    assert (series.x, series.y) == ([1, 2.0, 3.0], [4.0, 5.0, 1])
    assert made.has_lines and not made.categories and series.label == "" and made.left_out == 0


def test_a_series_for_each_value():
    rows = [(x, x * n, n) for x in (2.0, 1.0) for n in (10, 9)]
    made = plot([*rows, (1.0, 0.0, None), (1.0, 0.0, "b")], by="mesh")
    labels = [series.label for series in made.series]
    assert labels == ["mesh = 9", "mesh = 10", "mesh = b", "mesh = no value"]
    assert made.series[0].y == [9.0, 18.0] and made.has_lines
    assert not plot(rows).has_lines  # two of each x


def test_points():
    assert not plot([(1.0, 1.0, "a"), (2.0, 2.0, "b")]).has_lines  # what differs is not x alone
    assert not plot([(1.0, 1.0, "a")]).has_lines
    assert not plot([(1.0, 1.0, "a"), (2.0, 2.0, "a")], x="energy", y="load").has_lines


def test_what_is_no_number_is_a_category():
    made = plot([(1, 1.0, "é"), (1, 2.0, 10), (1, 3.0, 9), (1, 4.0, "é")], x="mesh")
    assert made.categories == ["9", "10", "é"] and not made.has_lines
    assert (made.series[0].x, made.series[0].y) == ([0, 1, 2, 2], [3.0, 2.0, 1.0, 4.0])
    assert plot([(1, 1.0, True), (1, 2.0, False)], x="mesh").categories == ["False", "True"]
    days = [(1, 1.0, datetime.datetime(2030, 1, day)) for day in (2, 1)]
    assert plot(days, x="mesh").series[0].y == [1.0, 1.0] and not plot(days, x="mesh").categories
    assert plot([*days, (1, 1.0, 5)], x="mesh").categories[0] == "5"


def test_what_is_left_out():
    rows = [(1.0, None, 1), (2.0, math.nan, 1), (math.inf, 1.0, 1), (None, 1.0, 1), (3.0, "q", 1)]
    made = plot([*rows, (4.0, 2.0, 1), (5.0, 10**400, 1)])
    assert made.left_out == 6 and made.series[0].x == [4.0]
    with pytest.raises(ConfigError, match="none of 5 runs has load and a number as energy"):
        plot(rows)


def test_too_many_series():
    with pytest.raises(ConfigError, match="mesh has 41 values"):
        plot([(1.0, 1.0, number) for number in range(41)], by="mesh")
    assert len(plot([(1.0, 1.0, number) for number in range(40)], by="mesh").series) == 40
