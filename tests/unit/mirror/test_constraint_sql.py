"""Runs that SQL finds, looked at one by one, are those that a look at all runs finds."""

import decimal
import itertools
import math
from datetime import UTC, date, datetime

import pytest
from constraint_fields import JOB_TYPES, RUN_TYPES, compiled
from hypothesis import example, given, settings
from hypothesis import strategies as st

from motoko.errors import ConstraintError
from motoko.mirror import mirror_tables
from motoko.mirror.constraint_sql import candidates, where
from motoko.mirror.mirror_file import Mirror
from motoko.mirror.mirror_tables import JOBS, RUNS, Name, Owner
from motoko.runs.entries import DocumentedEntries
from motoko.runs.entry_table import PREFIX
from motoko.store.jobs_of_runs import NoJob, job_of
from motoko.store.literals import quote

SIMPLE = [
    *(None, True, False, 0, 1, 3, -3, 2.5, 3.0, -0.0, 2**53 + 1, 2.0**53, 2**63 - 1, 2**70, 1e300),
    *(
        math.inf,
        -math.inf,
        math.nan,
        "",
        "3",
        "a",
        "A",
        "abc",
        "None",
        "true",
        "é",
        "\udc80",
        "a\0b",
    ),
]
OTHERS = [
    *([1, 2], [], ["a", 1], (1, 9), {"a": 1}, {1, 2, 3}, b"x", 1j, -1j, "x" * 5_000, object()),
    *(date(2030, 1, 31), datetime(2030, 1, 31), datetime(2030, 1, 31, 12, 0, 0, 5)),
    *(datetime(2030, 1, 31, 12, tzinfo=UTC), decimal.Decimal(3), [[1.5, math.nan]]),
]
VALUES = st.sampled_from(SIMPLE) | st.sampled_from(OTHERS)
RUN_NAMES = ["n", "y", "note", "state", "run_name", "start_time", "both", "attempt", "select", "id"]
RUNS_HELD = st.fixed_dictionaries(
    {},
    optional={
        **{Name(False, name): VALUES for name in RUN_NAMES},
        **{Name(True, name): VALUES for name in ("y", "note", "state", "attempt")},
        Name(False, f"{PREFIX}attempt"): VALUES,
        Name(False, "job_id"): st.integers(1, 4) | st.sampled_from([None, True, 2.0, "1"]),
    },
)
JOBS_HELD = st.fixed_dictionaries({}, optional={Name(False, name): VALUES for name in JOB_TYPES})
FIELDS = ["y", "note", "attempt", "select", "runs.n", "types", *JOB_TYPES, *RUN_TYPES]
FIELDS += ["jobs.both", "runs.both", "jobs.id", "runs.id"]
TEXTS = ["3", "2.5", "a", "None", "'None'", "true", "inf", "nan", "1e400", "9007199254740993"]
TEXTS += ["'[1, 2]'", "[]", "'(1, 9)'", "2030-01-31", "'2030-01-31 12:00'", "{}", "''", "x"]
TEXTS += ["jobs.x", "runs.state", "runs.run_name", "jobs.both", "100000000000000000000", "1j"]
OPERATORS = ["=", "!=", "<", ">", "<=", ">=", "~", "!~", "~*"]
CONSTRAINT = st.builds(
    lambda name, op, text: f"{name} {op} {text}",
    st.sampled_from(FIELDS),
    st.sampled_from(OPERATORS),
    st.sampled_from(TEXTS)
    | st.sampled_from([each for each in SIMPLE if each != ""]).map(
        lambda value: quote(str(value)) or "''"
    ),
)


class Late(dict):
    """A run's job, looked for when it is asked for something."""

    def __init__(self, jobs, run):
        self.jobs, self.run = jobs, run

    def get(self, name, default=None):
        return job_of(self.jobs, self.run).get(name, default)


def looked_at(predicate, numbers, runs, jobs):
    """The runs among some that meet a predicate, or the error that this is."""
    found = []
    for number in numbers:
        held = runs[number]
        entries = {name.name: value for name, value in held.items() if not name.is_attribute}
        attributes = {name.name: value for name, value in held.items() if name.is_attribute}
        attributes |= {"types": {"n": int}}
        run = DocumentedEntries(entries, attributes) if predicate.undeclared else entries
        try:
            if predicate(run, Late(jobs, entries)) and job_of(jobs, entries) is not None:
                found.append(number)
        except NoJob:
            pass
        except ConstraintError as error:
            return [*found, f"{number}: {error}"]
    return found


def mirrored(runs, jobs):
    tables = Mirror.in_memory().tables
    for table, all_held in ((RUNS, runs), (JOBS, jobs)):
        for number, held in all_held.items():
            tables.add(Owner(table, number), number)
            tables.write(Owner(table, number), held)
    return tables


def check(runs, jobs, constraints, tables=None):
    """Some runs and their jobs, which ``tables`` hold, or new ones."""
    try:
        predicate = compiled(constraints)
    except ConstraintError:
        return
    tables = tables or mirrored(runs, jobs)
    jobs = {
        number: {name.name: value for name, value in held.items()} for number, held in jobs.items()
    }
    found = list(candidates(tables, predicate))
    assert found == sorted(found)
    truth = looked_at(predicate, runs, runs, jobs)
    assert looked_at(predicate, found, runs, jobs) == truth
    if where(tables, predicate).is_exact:
        named = [n for n in found if type(runs[n].get(Name(False, "job_id"))) is int]
        assert [n for n in named if runs[n][Name(False, "job_id")] in jobs] == [
            n for n in truth if type(runs[n][Name(False, "job_id")]) is int
        ]


NUMBERED = {"min_size": 1, "max_size": 6}


@settings(deadline=None, max_examples=400)
@given(
    st.lists(RUNS_HELD, **NUMBERED).map(lambda held: dict(enumerate(held, 1))),
    st.lists(JOBS_HELD, max_size=4).map(lambda held: dict(enumerate(held, 1))),
    st.lists(CONSTRAINT, min_size=1, max_size=3),
)
@example(  # the second one has no order, though the third constraint is not met by any
    {1: {Name(False, "y"): 3}, 2: {Name(False, "y"): [1]}}, {}, ["y < 3", "state = X"]
)
def test_what_is_found(runs, jobs, constraints):
    check(runs, jobs, constraints)


@pytest.mark.parametrize("op", OPERATORS)
def test_all_values_with_all_texts(op):
    """Of each kind of field."""
    held = [*SIMPLE, *OTHERS]
    runs = {
        number: {
            Name(False, "job_id"): number,
            **{Name(False, name): value for name in ("y", "run_name", "start_time", "both")},
        }
        for number, value in enumerate(held, 1)
    }
    jobs = {
        number: {Name(False, name): value for name in ("n", "x", "flag", "name", "xs", "opts")}
        for number, value in enumerate(held, 1)
    }
    tables = mirrored(runs, jobs)
    for text in TEXTS:
        for name in (
            "y",
            "run_name",
            "start_time",
            "runs.both",
            *["n", "x", "flag", "name", "xs", "opts"],
        ):
            name = name if isinstance(name, str) else name.name
            check(runs, jobs, f"{name} {op} {text}", tables)


@pytest.mark.parametrize("op", OPERATORS[:6])
@pytest.mark.parametrize("fields", ["runs.both {} jobs.both", "jobs.both {} runs.both"])
def test_all_values_with_all_others(op, fields):
    """Of a run and its job."""
    held = [*SIMPLE, *OTHERS]
    both = Name(False, "both")
    runs = {
        number: {both: value, Name(False, "job_id"): 1 + number % len(held)}
        for number, value in enumerate(itertools.chain(*([each] * len(held) for each in held)), 1)
    }
    check(runs, {number: {both: value} for number, value in enumerate(held, 1)}, fields.format(op))


@pytest.mark.parametrize("op", OPERATORS[:6])
@pytest.mark.parametrize("side", [RUNS, JOBS])
def test_all_values_with_all_others_beside_them(op, side):
    """Of a run, or of a job."""
    pairs = enumerate(itertools.product([*SIMPLE, *OTHERS], repeat=2), 1)
    names = (Name(False, "run_name"), Name(False, "both")) if side == RUNS else JOB_NAMES
    held = {number: dict(zip(names, pair, strict=True)) for number, pair in pairs}
    left, right = (f"{'jobs' if side else 'runs'}.{name.name}" for name in names)
    runs = {number: {Name(False, "job_id"): number} for number in held}
    if side == RUNS:
        runs = {number: runs[number] | held[number] for number in held}
    check(runs, held if side == JOBS else {}, f"{left} {op} {right}")


JOB_NAMES = (Name(False, "x"), Name(False, "both"))


def test_names_that_have_no_column(monkeypatch):
    monkeypatch.setattr(mirror_tables, "COLUMNS_MAX", 3)
    runs = {
        number: {Name(False, name): value for name in ("job_id", "y", "note", "x1", "x2")}
        for number, value in enumerate([1, 2, None, "a"], 1)
    }
    for constraint in ("y = 1", "x2 = 2", "x2 != 2", "x2 = None", "x2 ~ a", "x3 = 1", "n != 3"):
        check(runs, {1: {}, 2: {Name(False, "n"): 3}}, constraint)


def test_many_constraints():
    runs = {n: {Name(False, "y"): n, Name(False, "job_id"): 1} for n in range(1, 20)}
    check(runs, {1: {}}, [f"y != {n}" for n in range(1, 500, 2)])


def test_it_is_exact_where_it_can_be():
    """So that runs need not be read from the database."""
    tables = Mirror.in_memory().tables
    tables.add(Owner(RUNS, 1), 1)
    tables.write(Owner(RUNS, 1), {Name(False, "y"): 1.5, Name(False, "flag"): True})
    for text in ("x < 3", "y > 2", "state = FINISHED", "run_name ~ ^a", "y != 3, n = 4", "z = 1"):
        assert where(tables, compiled(text)).is_exact, text
    tables.write(Owner(RUNS, 1), {Name(False, "y"): object()})
    assert not where(tables, compiled("y > 2")).is_exact
