"""An index of predicates leaves out no predicate that a run meets."""

import decimal
import fractions
from datetime import date, datetime

import numpy as np
import pytest
from constraint_fields import JOB_TYPES, RUN_TYPES, compiled
from hypothesis import example, given
from hypothesis import strategies as st

from motoko.errors import ConstraintError
from motoko.runs.entries import DocumentedEntries
from motoko.store.predicate_index import PredicateIndex

CONSTRAINTS = [
    f"{name} {op} {value}"
    for name in ("state", "jobs.n", "x", "name", "flag", "start_time", "undeclared", "runs.id")
    for op in ("=", "!=")
    for value in {
        "state": ["FINISHED", "1", "''", "None"],
        "jobs.n": ["1", "0", "2.5", "None"],
        "x": ["1", "nan", "inf", "-0.0"],
        "name": ["1", "1.0", "None", "'None'"],
        "flag": ["true", "0"],
        "start_time": ["2030-01-01", "None"],
        "undeclared": ["1", "1.0", "yes", "2030-01-01", "[1]", "None", "b'a'", "1+0j", "''"],
        "runs.id": ["1", "2.5"],
    }[name]
]
CONSTRAINTS += [
    "n < 2",
    *(
        f"{name} {op} {value}"
        for name in ("x", "undeclared")
        for op in ("<", "<=", ">", ">=")
        for value in ("0", "1", "2.5", "nan", "inf", "1e300")
    ),
    f"undeclared < {10**400}",
    "undeclared >= '1'",
    "state ~ F",
    "xs = [1]",
    "opts = {}",
    "name = runs.state",
]
TEXTS = ["", "1", "1.0", "yes", "F", "FINISHED", "None", "[1]"]
NUMBERS = [True, False, 0, 1, 1.0, 2.5, -0.0, float("nan"), float("inf"), 1 + 0j]
NUMBERS += [decimal.Decimal(1), decimal.Decimal("sNaN"), fractions.Fraction(5, 2)]
NUMBERS += [1 - 2**-53, 1e308, 10**400, float("-inf")]
NUMBERS += [np.float64(1.0), np.int64(1), np.array(1), np.bool_(True)]
TIMES = [date(2030, 1, 1), datetime(2030, 1, 1), datetime(2030, 1, 1).astimezone()]
OTHERS = [None, [1], (1,), {}, b"a", object(), np.array([1])]
VALUES = st.sampled_from(TEXTS) | st.sampled_from(NUMBERS) | st.sampled_from([*TIMES, *OTHERS])
RUNS = st.dictionaries(st.sampled_from([*RUN_TYPES, "undeclared"]), VALUES)
JOBS = st.dictionaries(st.sampled_from([*JOB_TYPES]), VALUES)
WANTED = st.lists(st.sampled_from(CONSTRAINTS), max_size=4).map(compiled)


def meets(predicate, run, job):
    """Whether a run meets it, or whoever asks gets an error."""
    try:
        return predicate(DocumentedEntries(run) if predicate.undeclared else run, job)
    except ConstraintError:
        return True


@given(st.lists(WANTED), st.lists(WANTED), RUNS, JOBS)
@example([compiled("undeclared > 1, x = 1")], [], {"undeclared": object()}, {"x": 2.0})
def test_none_is_left_out(wanted, unwanted, run, job):
    index = PredicateIndex()
    for predicate in [*wanted, *unwanted, *wanted]:
        index.add(predicate)
    for predicate in unwanted:
        index.discard(predicate)
    left = {predicate for predicate in wanted if predicate not in unwanted}
    assert set(index) == left and len(index) == len(left)
    candidates = index.candidates(run, DocumentedEntries(run), lambda: job)
    assert len(candidates) == len(set(candidates))
    met = {predicate for predicate in left if meets(predicate, run, job)}
    assert met <= set(candidates) <= left
    for predicate in left:
        index.discard(predicate)
    assert not index._filed and not index._ranges and not index._others


def test_few_are_asked():
    """However much they have in common."""
    index = PredicateIndex()
    for number in range(100):
        index.add(compiled(f"run_name = r, n = {number}, state = FINISHED"))
        index.add(compiled(f"state = FINISHED, undeclared = {number}, run_name = r"))
        index.add(compiled(f"runs.id = {number}, run_name = r"))
    run = {"id": 1, "run_name": "r", "state": "FINISHED", "undeclared": 2}
    candidates = index.candidates(run, DocumentedEntries(run), lambda: {"n": 3})
    assert len(candidates) <= 6
    assert {
        "runs.run_name = r and jobs.n = 3 and runs.state = FINISHED",
        "runs.state = FINISHED and runs.undeclared = 2 and runs.run_name = r",
        "runs.id = 1 and runs.run_name = r",
    } <= {predicate.text for predicate in candidates}


def test_few_are_asked_for_ranges():
    """Of any width, of numbers of any size; half-open ones, too, if few of them are met."""
    index = PredicateIndex()
    for number in range(1000):
        index.add(compiled(f"run_name = r, x >= {number}, x < {number + 1}"))
        index.add(compiled(f"run_name = r, undeclared > {1e9 + number * 1e-3}"))
        index.add(compiled(f"state = FINISHED, n <= {-number}, run_name = r"))
    index.add(compiled("x > -1e300, x < 1e300"))
    run = {"id": 1, "run_name": "r", "state": "FINISHED", "undeclared": 1e9 + 2.5e-3}
    candidates = index.candidates(run, DocumentedEntries(run), lambda: {"n": -2, "x": 7.5})
    assert len(candidates) < 20
    met = {predicate for predicate in index if meets(predicate, run, {"n": -2, "x": 7.5})}
    assert len(met) == 8 and met <= set(candidates)


def test_jobs_are_not_loaded_for_nothing():
    index = PredicateIndex()
    index.add(compiled("state = FINISHED"))
    assert index.candidates({"state": "START"}, {}, lambda: pytest.fail("asked for")) == []
