"""The language of constraints, row by row, and against a naive evaluation."""

import math
import re
from datetime import datetime
from typing import Any

import pytest
from constraint_fields import JOB_TYPES, compiled, holds, refused
from hypothesis import given
from hypothesis import strategies as st

from motoko.errors import ConstraintError
from motoko.store.constraints import compile_constraints
from motoko.store.literals import quote


@pytest.mark.parametrize(
    ("constraint", "matching", "others"),
    [
        ("n = 3", [3, 3.0], [2, None, "3"]),
        ("n == 3", [3], [2]),
        ("n != 3", [2, None, "3"], [3]),
        ("n < 3", [2, -5], [3, 4, None, "a"]),
        ("n > 3", [4], [3, 2, None, "a"]),
        ("n <= 3", [2, 3], [4, None]),
        ("n >= 3", [3, 4], [2, None]),
        ("n<-3", [-4], [-3, 0]),
        ("n < 2.5", [2], [3]),
        ("n = 1e3", [1000], [999]),
        ("n < inf", [10**400], [None]),
        ("n = '3'", [3], [4]),
        ("n ~ ^1.$", [10, 19], [1, 100, None]),
        ("x = 3", [3, 3.0], [3.5]),
        ("x = -1.5e-3", [-0.0015], [0.0015]),
        ("x > 1E3", [1001.0], [1000.0]),
        ("x = inf", [math.inf], [-math.inf, 1.0]),
        ("x = -inf", [-math.inf], [math.inf]),
        ("x = nan", [], [math.nan, 1.0]),
        ("x != nan", [math.nan, 1.0], []),
        ("x < nan", [], [math.nan, 1.0]),
        ("x = 12345678901234567890", [float("12345678901234567890")], [1.0]),
        ("flag = true", [True], [False, None]),
        ("flag = False", [False], [True, None]),
        ("flag = 1", [True], [False]),
        ("flag = no", [False], [True]),
        ("flag != YES", [False, None], [True]),
        ("name = a", ["a"], ["A", "aa", None]),
        ("name != a", ["b", None], ["a"]),
        ("name < b", ["a"], ["b", None, 3]),
        ("name = 3", ["3"], [3]),
        ("name ~ ^ab+$", ["abb"], ["ABB", "xabb", None]),
        ("name ~* ^ab+$", ["abb", "ABB"], ["a", None]),
        ("name !~ ^ab+$", ["ABB", None], ["abb"]),
        ("name !~* ^ab+$", ["a", None], ["abb", "ABB"]),
        ("name ~ None", ["xNonex"], [None, "x"]),
        ("xs = '[1, 2]'", [[1, 2]], [[1], None]),
        ("xs = '1, 2'", [[1, 2]], [[2]]),
        ("xs = []", [[]], [[1]]),
        ("xs < [2]", [[1, 5]], [[3], None, 1]),
        ("opts = \"{'a': 1, 'b': [2]}\"", [{"a": 1, "b": [2]}], [{"a": 1}]),
        ("opts != {}", [{"a": 1}, None], [{}]),
        ("opts < {}", [], [{}, None]),
    ],
)
def test_operators_by_type(constraint: str, matching: list[Any], others: list[Any]) -> None:
    name = re.match(r"\w+", constraint)
    assert name
    for value in matching:
        assert holds(constraint, {}, {name[0]: value}), value
    for value in others:
        assert not holds(constraint, {}, {name[0]: value}), value


@pytest.mark.parametrize("name", [*sorted(set(JOB_TYPES) - {"id", "both"}), "state", "undeclared"])
def test_none_for_every_type(name: str) -> None:
    objects = ({name: "some"}, {name: "some"})
    for op in ("=", "=="):
        assert holds(f"{name} {op} None")
        assert not holds(f"{name} {op} None", *objects)
    assert holds(f"{name} != None", *objects)
    assert not holds(f"{name} != None")
    assert "no order" in str(refused(f"{name} < None"))


def test_quoted_none_is_a_string() -> None:
    assert holds("state = 'None'", {"state": "None"})
    assert not holds("state = 'None'", {"state": None})
    assert not holds("state = None", {"state": "None"})
    assert holds("y = 'None'", {"y": "None"})
    refused("n = 'None'")


def test_missing_is_none() -> None:
    assert holds("state != FORWARDED", {})
    assert holds("n != 3", {}, {})
    assert not holds("n < 3", {}, {})


def test_datetimes() -> None:
    noon = {"start_time": datetime(2030, 1, 31, 12)}
    assert holds("start_time > 2030-01-31", noon)
    assert holds("start_time = 2030-01-31T12:00", noon)
    assert holds("start_time <= '2030-01-31 12:00:00'", noon)
    assert not holds("start_time < 2030-01-31", noon)
    assert not holds("start_time < 2030-01-31", {})
    assert holds("y > 2030-01-31", {"y": noon["start_time"]})
    aware = noon["start_time"].astimezone()
    assert holds(f"start_time = {aware.isoformat()}", noon)
    assert holds("start_time = 2030-01-31T12:00", {"start_time": aware})


@pytest.mark.parametrize(
    ("constraint", "matching", "others"),
    [
        ("y = 3", [3, 3.0, "3"], [4, "4", True, None, [3]]),
        ("y = 3.0", [3, 3.0, "3.0"], ["3"]),
        ("y < 10", [9, 2.5], [10, "9", None]),
        ("y < 9", ["10"], [9]),
        ("y = true", [True, "true"], [False, 1, None]),
        ("y = 1", [True, 1, "1"], [False]),
        ("y = abc", ["abc"], [3, True, None]),
        ("y != abc", ["x", 3, True, None], ["abc"]),
        ("y < abc", ["abb"], [3, True, None]),
        ("y = '[1, 2]'", [[1, 2], "[1, 2]"], [[1]]),
        ("y ~ ^4", [42, "4x"], [24, None]),
        (f"y = {'9' * 5000}", ["9" * 5000], [1, 1.0, math.inf]),
    ],
)
def test_undeclared_names_compare_by_the_value(
    constraint: str, matching: list[Any], others: list[Any]
) -> None:
    for value in matching:
        assert holds(constraint, {"y": value}, {"y": "of the job"}), value
    for value in others:
        assert not holds(constraint, {"y": value}, {"y": "of the job"}), value


def test_numpy_values_are_pythons() -> None:
    numpy = pytest.importorskip("numpy")
    assert holds("y = 3", {"y": numpy.int64(3)})
    assert holds("y = true", {"y": numpy.bool_(True)})
    assert holds("x < 1", {}, {"x": numpy.float32(0.5)})
    assert holds("xs = '[1, 2]'", {}, {"xs": numpy.array([1, 2])})
    assert holds("xs != '[1, 2]'", {}, {"xs": numpy.array([1, 3])})


@pytest.mark.parametrize("nothing", [None, "", "  ", [], (), [""], ["", " \n"]])
def test_nothing_matches_everything(nothing: Any) -> None:
    predicate = compiled(nothing)
    assert predicate({}, {})
    assert (predicate.text, predicate.reads, predicate.run_ids) == ("", frozenset(), None)


@pytest.mark.parametrize(
    "constraints",
    [
        "state = F, n = 3",
        "state = F and n = 3",
        "state=F,n=3",
        "state = F,n = 3,",
        "state = 'F' AND n = 3",
        "state = F\tand\nn = 3",
        ["state = F", "n = 3"],
        ("state = F", "", "n = 3"),
        ["state = F, n = 3", "n > 2"],
    ],
)
def test_all_must_hold(constraints: Any) -> None:
    assert holds(constraints, {"state": "F"}, {"n": 3})
    assert not holds(constraints, {"state": "F"}, {"n": 4})
    assert not holds(constraints, {"state": "G"}, {"n": 3})


def test_the_callers_list_is_not_changed() -> None:
    constraints = ["state = F", "n = 3"]
    compiled(constraints)
    assert constraints == ["state = F", "n = 3"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a b", "a b"),
        ("  a  b  ", "a  b"),
        ("/tmp/a.b/c=d", "/tmp/a.b/c=d"),
        ("été 中文", "été 中文"),
        ("it's", "it's"),
        ('5" pipe', '5" pipe'),
        ("a\\b", "a\\b"),
        ("band", "band"),
        ("android", "android"),
        ("a andb", "a andb"),
        ("a or b", "a or b"),
        ("~/data", "~/data"),
        ("= 3", "= 3"),
        ("state", "state"),
        ("runs.unknown", "runs.unknown"),
        ("''", ""),
        ("' a '", " a "),
        ("'a, b and c = d'", "a, b and c = d"),
        ('"a, b"', "a, b"),
        (r"'it\'s'", "it's"),
        (r'"say \"so\""', 'say "so"'),
        (r"'\\'", "\\"),
        (r"'\d\"'", r"\d\""),
        ("'runs.exec'", "runs.exec"),
        ("'a\nb'", "a\nb"),
    ],
)
def test_what_a_string_value_is(written: str, value: str) -> None:
    for constraint in (f"state = {written}", f"state = {written}, n = 3", f"n=3 and y= {written}"):
        assert holds(constraint, {"state": value, "y": value, "exec": "other"}, {"n": 3})
        assert not holds(constraint, {"state": value + "x", "y": value + "x"}, {"n": 3})


@given(st.text(), st.text())
def test_quote_holds_any_string(value: str, other: str) -> None:
    constraint = f"run_name = {quote(value)} and name != {quote(value)}"
    assert holds(constraint, {"run_name": value}, {"name": value + "x"})
    assert holds(constraint, {"run_name": other}) is (other == value)


def test_quotes_only_what_needs_it() -> None:
    assert quote("doIt.py") == "doIt.py"
    assert [quote(v)[0] for v in ("", "None", "and", "jobs.x", "a b", "a,b")] == ["'"] * 6


def test_names_are_case_insensitive_and_may_have_a_prefix() -> None:
    for name in ("STATE", "runs.state", "Runs . State"):
        assert compiled(f"{name} = F").reads == {"runs.state"}
    for name in ("N", "jobs.n", "JOBS.N"):
        assert compiled(f"{name} = 3").reads == {"jobs.n"}
    predicate = compile_constraints("myname = 3", job_types={"MyName": int}, run_types={})
    assert predicate({}, {"myname": 3})
    assert predicate.undeclared == frozenset()


def test_undeclared_names_are_the_runs() -> None:
    predicate = compiled("event_name = a, runs.Y = 3, runs.name = b, state = F")
    assert predicate.undeclared == {"event_name", "y", "name"}
    assert predicate.reads == {"runs.event_name", "runs.y", "runs.name", "runs.state"}


def test_ambiguous_names_are_refused() -> None:
    error = refused("both = 3")
    assert "'both'" in str(error)
    assert error.hint == "write jobs.both or runs.both"
    assert holds("jobs.both = 3, runs.both = 4", {"both": 4}, {"both": 3})


def test_unknown_job_names_are_refused() -> None:
    error = refused("jobs.flagg = 3")
    assert "did you mean jobs.flag?" in str(error)
    assert "flag, id, n" in str(error.hint)
    assert "did you mean runs.state?" in str(refused("jobs.state = F"))


def test_two_fields_compare() -> None:
    predicate = compiled("runs.job_id = Jobs.ID")
    assert predicate({"job_id": 3}, {"id": 3})
    assert not predicate({"job_id": 3}, {"id": 4})
    assert predicate.reads == {"runs.job_id", "jobs.id"}
    assert holds("run_name != jobs.name", {"run_name": "a"}, {"name": "b"})
    assert not holds("n < runs.both", {"both": None}, {"n": 3})
    assert holds("y = jobs.n", {"y": 3}, {"n": 3})
    refused("runs.job_id = jobs.unknown")


@pytest.mark.parametrize(
    ("constraints", "run_ids"),
    [
        ("runs.id = 3", {3}),
        (["state = F", "RUNS.ID == 3.0"], {3}),
        ("runs.id = 3, runs.id = 3", {3}),
        ("runs.id = 3, runs.id = 4", set()),
        ("runs.id = 2.5", set()),
        ("runs.id = inf", set()),
        ("runs.id = nan", set()),
        ("runs.id = 9007199254740993", {9007199254740993}),
        ("runs.id != 3", None),
        ("runs.id >= 3", None),
        ("runs.id = None", None),
        ("runs.id = jobs.id", None),
        ("jobs.id = 3", None),
        ("runs.id ~ 3", None),
        ("", None),
    ],
)
def test_run_ids(constraints: Any, run_ids: set[int] | None) -> None:
    assert compiled(constraints).run_ids == run_ids


def test_run_ids_without_declarations() -> None:
    ids = [
        compile_constraints(text, job_types={}, run_types={}).run_ids
        for text in ("runs.id = 9007199254740993", "id = 3", "id = a")
    ]
    assert ids == [{9007199254740993}, {3}, None]


def test_a_pinned_run_obeys_the_other_constraints() -> None:
    assert not holds(["runs.id = 3", "state = F"], {"id": 3, "state": "G"})


@pytest.mark.parametrize(
    ("text", "problem", "at"),
    [
        ("foo", "no operator", 3),
        ("state F", "no operator", 6),
        ("state =~ F", "no operator '=~'", 6),
        ("state =! F", "no operator '=!'", 6),
        ("state <> F", "no operator '<>'", 6),
        ("state === F", "no operator '==='", 6),
        ("state =", "value is missing", 7),
        ("state = , n = 3", "value is missing", 8),
        ("= 3", "name is missing", 0),
        (", n = 3", "name is missing", 0),
        ("n = 3,, n = 4", "name is missing", 6),
        ("n = 3 and", "after 'and'", 9),
        ("state = F and ", "after 'and'", 13),
        ("and n = 3", "no operator", 4),
        ("state = 'F", "not closed", 8),
        (r"state = 'F\'", "not closed", 8),
        ("state = 'F' x", "after the closing quote", 11),
        ("state = 'F'and n = 3", "after the closing quote", 11),
        ("state = F or n = 3", "no 'or'", 10),
        ("foo.bar = 3", "no prefix", 0),
        ("runs.state.x = 3", "no operator", 10),
        ("n = abc", "no value for jobs.n, which is int", 4),
        ("n = 3 4", "no value", 4),
        ("x = '1,5'", "no value for jobs.x, which is float", 4),
        ("x = 1e999", "no value", 4),
        (f"n = {'9' * 5000}", "no value", 4),
        ("flag = 2", "no value for jobs.flag, which is bool", 7),
        ("xs = 3", "no value for jobs.xs, which is list", 5),
        ("xs = [1, 2]", "no value for jobs.xs", 5),
        ("opts = '{[]: 1}'", "no value for jobs.opts", 7),
        ("start_time > noon", "no value for runs.start_time, which is datetime", 13),
        ("n = 3, state ~ (", "no regular expression", 15),
        ("state ~ '(?au)'", "no regular expression", 8),
        (f"state ~ {'(' * 5000}", "no regular expression", 8),
        ("state ~ a{1,2}", "no operator", 13),
    ],
)
def test_errors_point_at_the_place(text: str, problem: str, at: int) -> None:
    message = str(refused(text))
    assert problem in message
    _, line, caret = message.split("\n")
    assert line.rstrip() == "    " + text[:80].rstrip()
    assert caret == "    " + " " * at + "^"


def test_errors_name_the_study_and_stay_short() -> None:
    with pytest.raises(ConstraintError, match=r"^study norm: 'x' is followed by no operator\n"):
        compiled("x", study="norm")
    message = str(refused("state = F, " * 50 + "n = abc" + ", state = F" * 50))
    assert max(map(len, message.split("\n"))) < 100
    line, caret = message.split("\n")[1:]
    assert line[caret.index("^") :].startswith("abc")


def test_a_value_cut_in_two_is_told() -> None:
    for text, separator in (("state = salt and pepper", "and"), ("state = a, b", ",")):
        assert f"holds '{separator}' must be quoted" in str(refused(text).hint)


@pytest.mark.parametrize(
    "wrong", [3, b"state = F", [3], [None], [["state = F"]], {"run_id": 3}, {"n = 3"}, [b"n = 3"]]
)
def test_only_strings_are_constraints(wrong: Any) -> None:
    assert "is not a constraint" in str(refused(wrong))
