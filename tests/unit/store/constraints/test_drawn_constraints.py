"""The language of constraints, row by row, and against a naive evaluation."""

import operator
import re
import string
from typing import Any

import pytest
from constraint_fields import JOB_TYPES, RUN_TYPES, compiled, holds, refused
from hypothesis import given
from hypothesis import strategies as st

from motoko.errors import ConstraintError
from motoko.store.constraints import compile_constraints
from motoko.store.literals import quote

ORDER = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-3, 3) | st.integers(),
    "x": st.sampled_from([-1.5, 0.0, 2e-9]) | st.floats(),
    "flag": st.booleans(),
    "name": st.sampled_from(["a", "b", "state", "None"]) | st.text(max_size=5),
    "xs": st.lists(st.integers(0, 3), max_size=3),
}


BLANKS = st.sampled_from(["", " ", "\t", "  "])


@given(data=st.data(), op=st.sampled_from(sorted(ORDER)), blank=BLANKS)
def test_against_naive_comparison(data: st.DataObject, op: str, blank: str) -> None:
    tests, job = [], {}
    for name in data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, unique=True)):
        literal = data.draw(VALUES[name])
        stored = data.draw(st.just(literal) | st.none() | VALUES[name])
        job[name] = stored
        tests.append((f"{blank}{name}{blank}{op}{blank}{quote(str(literal))}{blank}", literal))
    separator = data.draw(st.sampled_from([",", " and ", " , ", "\nAND\n"]))
    expected = all(
        (op == "!=" if stored is None else ORDER[op](stored, literal))
        for stored, (_, literal) in zip(job.values(), tests, strict=True)
    )
    constraints = [text for text, _ in tests]
    assert holds(separator.join(constraints), {}, job) is expected
    assert holds(constraints, {}, job) is expected


@given(
    pattern=st.text("ab.*^$|A", max_size=6).filter(str.strip),
    stored=st.none() | st.text("abAB", max_size=4) | st.integers(),
)
def test_against_naive_search(pattern: str, stored: Any) -> None:
    for op, flags in (("~", 0), ("~*", re.IGNORECASE)):
        constraint = f"name {op} {quote(pattern)}"
        try:
            search = re.compile(pattern, flags).search
        except re.error:
            refused(constraint)
            continue
        found = stored is not None and bool(search(str(stored)))
        assert holds(constraint, {}, {"name": stored}) is found
        assert holds(constraint.replace("~", "!~", 1), {}, {"name": stored}) is not found


WORDS = r"""y runs. jobs. and , or None ' " = != < ~ ~* !~ \ ( [ { ) ] 3 -1e9 inf 2030-01-31"""


PIECES = st.sampled_from(
    [*WORDS.split(), *JOB_TYPES, *RUN_TYPES, "9" * 5000, "state = F", " and ", "\n", " "]
)


ENTRIES = st.dictionaries(
    st.sampled_from([*JOB_TYPES, *RUN_TYPES, "y"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(string.printable, max_size=3)
    | st.datetimes()
    | st.lists(st.integers(), max_size=2)
    | st.just(object())
    | st.just({}),
    max_size=6,
)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@given(st.text() | st.lists(PIECES, max_size=8).map("".join), ENTRIES, ENTRIES)
def test_anything_compiles_or_is_refused(
    text: str, run: dict[str, Any], job: dict[str, Any]
) -> None:
    try:
        predicate = compiled(text)
    except ConstraintError as error:
        assert error.hint
        assert len(error.args[0]) < 400
        return
    answer = predicate(run, job)
    assert type(answer) is bool
    assert answer <= (predicate.run_ids is None or run.get("id") in predicate.run_ids)
    assert {f"runs.{name}" for name in predicate.undeclared} <= predicate.reads
    again = compiled(predicate.text)
    assert again == predicate
    assert again(run, job) is answer


@pytest.mark.parametrize("name", ["n", "x", "flag", "name", "xs", "start_time", "y", "state ~"])
@pytest.mark.parametrize(
    "piece",
    ["-", "1+", "[", "(", "'(", "not ", "9", "'\\", " and ", " or ", "a{9", "\x00", "\ud800"],
)
@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_nothing_is_too_long(name: str, piece: str) -> None:
    text = f"{name} {'' if '~' in name else '='} {piece * 3000}1"
    try:
        assert type(compiled(text)({}, {})) is bool
    except ConstraintError as error:
        assert error.hint


def test_results_are_cached() -> None:
    first = compiled(["state = F", "n = 3"], study="norm")
    assert compiled(("state = F", "n = 3"), study="norm") is first
    assert compiled(["state = F", "n = 3"], study="mult") == first
    assert compiled("n = 3") is not compiled("n = 4")


def test_the_types_are_part_of_the_key() -> None:
    number, text = (
        compile_constraints("a = 1", job_types={}, run_types={"a": kind}) for kind in (int, str)
    )
    assert number({"a": 1}, {}) and not number({"a": "1"}, {})
    assert text({"a": "1"}, {}) and not text({"a": 1}, {})
    assert number != text


def test_a_predicate_is_immutable_and_hashable() -> None:
    predicate = compiled("STATE=F,jobs.n<3 , run_name = 'a b'")
    assert predicate.text == "runs.state = F and jobs.n < 3 and runs.run_name = 'a b'"
    assert {predicate: 1}[compiled(predicate.text)] == 1
    with pytest.raises(AttributeError):
        predicate.text = ""  # type: ignore[misc]


def test_a_database_that_fails_is_no_answer() -> None:
    class Disconnected(Exception):
        pass

    class Entries(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise Disconnected

    with pytest.raises(Disconnected):
        compiled("state != F")(Entries(), {})


@pytest.mark.parametrize(
    ("text", "known", "admitted"),
    [
        ("state = FINISHED", {"state": "FINISHED"}, True),
        ("state = FINISHED", {"state": "START"}, False),
        ("state != START, x = 3", {"state": "START", "id": 1}, False),
        ("state = FINISHED, x = 3", {"state": "FINISHED"}, True),  # x may be anything
        ("y > 3", {"state": "FINISHED"}, True),
        ("state = runs.run_name", {"state": "a", "run_name": "b"}, True),  # not looked into
        ("run_name = r and runs.id < 3", {"state": "S", "id": 3, "run_name": "r"}, False),
        ("", {"state": "S"}, True),
    ],
)
def test_admits(text, known, admitted):
    """What is known of a run may rule it out, and what is not known never does."""
    types = {"id": int, "state": str, "run_name": str}
    predicate = compile_constraints(text, job_types={"x": int}, run_types=types)
    assert predicate.admits(known) is admitted
