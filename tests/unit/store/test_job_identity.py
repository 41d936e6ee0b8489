"""A job is its parameters by name and by value, in databases of versions before as well."""

from types import SimpleNamespace

import numpy as np
import pytest
from BTrees.OOBTree import OOBTree

from motoko.config import load
from motoko.errors import ParameterError
from motoko.store.base import open_file
from motoko.store.job_index import OWN_INDEX, JobPlace
from motoko.store.study_database import create_study
from motoko.store.task_creator import TaskCreator

NAN = float("nan")
RUN = {"machine_name": "localhost", "nproc": 1, "run_name": "r", "event_name": "main"}
LONG = np.arange(2000.0)
OTHER = LONG.copy()
OTHER[1000] += 1e-9


@pytest.fixture
def study(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "motoko.yaml").write_text("task_managers:\n  s:\norchestrator: o.main\n")
    (tmp_path / "o.py").write_text("async def main(workflow, **params): ...\n")
    (tmp_path / "s" / "bd.yaml").write_text("study: s\njob:\n  x: float\n  d: dict\n")
    for name in ("launch.sh", "doIt.py"):
        (tmp_path / "s" / name).write_text("true\n")
    config = load(tmp_path / "motoko.yaml").studies["s"]
    create_study(config)
    base = open_file(config)

    def create(*jobs, run=RUN, identity=RUN):
        pairs = TaskCreator(base).create(jobs, run, identity=identity)
        return [(job.id, run.id) for run, job in pairs]

    yield SimpleNamespace(base=base, create=create)
    base.close()


def test_names(study):
    ((job, run),) = study.create({"x": 5.0})
    assert study.create({"temperature": 5.0}) == [(job + 1, run + 1)]
    assert study.create({"temperature": 5.0}, {"x": 5.0}) == [(job + 1, run + 1), (job, run)]
    assert study.create({"y": 1, "z": 2}) != study.create({"x": 1, "y": 2})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([2], [2.0]),
        ([1, 0], [True, False]),
        ({1: "a"}, {"1": "a"}),
        ({"a": LONG}, {"a": OTHER}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ([1, "a"], [1.0, "a"]),
    ],
)
def test_values_that_differ(study, one, other):
    made = [study.create({"x": 1.0, "d": value})[0] for value in (one, other)]
    assert made[0][0] != made[1][0]
    assert [study.create({"x": 1.0, "d": value})[0] for value in (one, other)] == made
    assert study.create({"x": 1.0, "d": other}, {"x": 1.0, "d": one}) == made[::-1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2, 2.0),
        (NAN, -NAN),
        (0.0, -0.0),
        ([np.float64(0.5)], [0.5]),
        ([np.int64(3), "a"], [3, "a"]),
        ({"a": np.float32(0.5)}, {"a": 0.5}),
        ({"a": {"q", "p", "r"}}, {"a": {"r", "p", "q"}}),
        ({"a": LONG}, {"a": LONG.copy()}),
        ({"a": [NAN]}, {"a": [NAN]}),
    ],
)
def test_values_that_are_the_same(study, one, other):
    first = study.create({"x": 1.0, "d": one})
    assert study.create({"x": 1.0, "d": other}) == first
    job = study.base.jobs[first[0][0]]
    assert "np." not in repr(job.entries["d"])


@pytest.mark.parametrize(
    "value", [object(), {"f": print}, [{1, frozenset({object()})}], len], ids="abcd"
)
def test_what_has_no_stable_value(study, value):
    with pytest.raises(ParameterError, match=r"study s: job parameter 'd' .*of type "):
        study.create({"x": 1.0, "d": {}}, {"x": 1.0, "d": [value]})
    assert not len(study.base.jobs.entries)


def test_runs(study):
    def run(**params):
        ((_, number),) = study.create({"x": 1.0}, run={**RUN, **params}, identity=[*RUN, "tol"])
        return number

    assert run(tol=NAN) == run(tol=float("nan")) != run(tol=1)
    assert run(tol=1) == run(tol=1.0) == run(tol=np.float64(1))
    assert run(tol=[2]) == run(tol=[2]) != run(tol=[2.0])
    assert run(tol={"a": LONG}) == run(tol={"a": LONG.copy()}) != run(tol={"a": OTHER})


def test_keys_of_versions_before(study):
    """What they have stored by its text is found, and only what it is."""
    content = study.base.content
    ((job, run),) = study.create({"x": 1.0, "d": {"a": 1, "b": [2.0]}})
    ((array, _),) = study.create({"x": 1.0, "d": {"a": LONG}})
    ((numpy, _),) = study.create({"x": 1.0, "d": [np.int64(3), "a"]})
    content[OWN_INDEX] = OOBTree(
        {
            "[{'a': 1, 'b': [2]}, 1]": job,
            repr([{"a": LONG}, 1]): array,
            "[[np.int64(3), 'a'], 1]": numpy,
        }
    )
    assert study.create({"x": 1.0, "d": {"b": [2.0], "a": 1}}) == [(job, run)]
    assert study.create({"x": 1.0, "d": {"a": LONG.copy()}})[0][0] == array
    assert study.create({"x": 1.0, "d": {"a": OTHER}})[0][0] == numpy + 1
    assert study.create({"x": 1.0, "d": [np.int64(3), "a"]})[0][0] == numpy


def test_jobs_that_are_gone(study):
    """A place in an index that names no job is taken by the next one."""
    content = study.base.content
    ((job, _),) = study.create({"x": 1.0})
    del content["Jobs"].entries[job]
    assert study.create({"x": 1.0})[0][0] == job + 1
    assert study.create({"x": 1.0})[0][0] == job + 1
    assert OWN_INDEX not in content.entries


def test_what_is_computed(study):
    """A functor's value, too, is plain, and stable."""
    study.create({"x": 2.0, "d": lambda job: [np.float64(job.x)]})
    assert study.create({"x": 2.0, "d": [2.0]})[0][0] == 1
    with pytest.raises(ParameterError, match="'d'"):
        JobPlace(study.base.content, "s", {"x": 1.0, "d": object()})
