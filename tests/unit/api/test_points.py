"""Points that are no product: what is taken for some, and what is said of what is none."""

import datetime

import numpy
import pandas
import pytest

from motoko.api.points import on_space, points_of
from motoko.errors import ParameterError

TYPES = {"x": float, "n": int, "xs": list, "opts": dict, "mesh": str}
SPACE = {"n": 1, "xs": [1, 2], "opts": {"a": 1, "b": 2}, "mesh": "fine"}


def jobs(points, space=SPACE, **options):
    return on_space("mult", space, points_of("mult", points), TYPES, **options)


def test_each_point_is_a_job_with_what_is_given_for_all():
    made = jobs([{"x": 2.5}, {"X": numpy.float64(1), "n": 7}])
    assert made == [{**SPACE, "x": 2.5}, {**SPACE, "x": 1.0, "n": 7}]
    assert type(made[1]["x"]) is float


def test_points_are_slower_than_lists_for_all_of_them():
    made = jobs([{"x": 2.0}, {"x": 1.0}], {**SPACE, "n": [1, 2]})
    assert [(job["x"], job["n"]) for job in made] == [(2.0, 1), (2.0, 2), (1.0, 1), (1.0, 2)]


def test_values_of_points_are_single_ones_and_dicts_update():
    (job,) = jobs([{"x": 1.0, "xs": [3, 4], "opts": {"b": 3}}])
    assert job["xs"] == [3, 4] and job["opts"] == {"a": 1, "b": 3}
    with pytest.raises(ParameterError, match=r"points\[0\].*'x' is \[1.0, 2.0\] \(list\)"):
        jobs([{"x": [1.0, 2.0]}])
    assert len(jobs([{"x": 1.0, "n": 3}, {"x": 1.0}], {**SPACE, "n": [1, 2]})) == 3


def test_neither_changes_the_other():
    point = {"x": 1.0, "xs": [3]}
    (job,) = jobs([point])
    job["xs"].append(4)
    assert point == {"x": 1.0, "xs": [3]}


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([{"x": 1.0}, {"x": "q"}], r"points\[1\]: job parameter 'x' is 'q' \(str\), not .* float"),
        ([{"x": 1.0}, {}], r"points\[1\]: job parameter 'x' \(float\) is not given"),
        ([{"x": 1.0, "xx": 1}], r"points\[0\]: there is no job parameter 'xx'"),
        ([{"x": 1.0, "X": 1.0}], r"points\[0\] has a parameter twice"),
        ([{"x": 1.0}, 3], r"points\[1\] is 3 \(int\)"),
        ([{0: 1.0}], r"points\[0\] has 0 for a name"),
        ([{"x": 1.0, "mesh": "a"}], r"points\[0\] has 'mesh', which is given for all"),
        ([{"x": 1.0, "opts": {"a": object()}}], r"points\[0\].*'opts'.*object"),
        ({"x": [1.0]}, "no points"),
        ("x", "no points"),
        (3, "no points"),
    ],
)
def test_what_is_no_point(points, said):
    with pytest.raises(ParameterError, match=said):
        jobs(points, fixed=["mesh"])


def test_none_are_none():
    assert jobs([]) == jobs(pandas.DataFrame({"x": []})) == []


class TestDataFrame:
    def test_rows_are_points(self):
        frame = pandas.DataFrame({"x": [1, 2.5], "n": [3.0, 4.0], "mesh": ["a", "b"]}, index=[7, 7])
        made = jobs(frame)
        assert [(job["x"], job["n"], job["mesh"]) for job in made] == [(1, 3, "a"), (2.5, 4, "b")]
        assert {type(job["n"]) for job in made} == {int}

    def test_lists_and_times_in_cells(self):
        frame = pandas.DataFrame({"x": [1.0], "xs": [[1, 2]], "when": ["2030-01-31"]})
        frame["when"] = pandas.to_datetime(frame["when"])
        types = {**TYPES, "when": object}
        (job,) = on_space("mult", SPACE, points_of("mult", frame), types)
        assert job["xs"] == [1, 2] and type(job["when"]) is datetime.datetime

    @pytest.mark.parametrize("missing", [None, float("nan"), pandas.NA])
    def test_what_is_missing(self, missing):
        frame = pandas.DataFrame({"x": [1.0, missing]})
        with pytest.raises(ParameterError, match=r"points\[1\]: 'x' has no value"):
            jobs(frame)

    def test_columns(self):
        with pytest.raises(ParameterError, match="twice"):
            jobs(pandas.DataFrame([[1.0, 2.0]], columns=["x", "x"]))
        with pytest.raises(ParameterError, match=r"points\[0\] has 0 for a name"):
            jobs(pandas.DataFrame([[1.0]]))
