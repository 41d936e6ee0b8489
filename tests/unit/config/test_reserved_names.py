"""Names that parameters cannot have: the table is what BlackDynamite really has."""

import inspect

import pytest
from BlackDynamite.job import JobZEO
from BlackDynamite.run_zeo import RunZEO
from BTrees.OOBTree import OOBTree

from motoko.api.parameters import refuse_reserved
from motoko.config.reserved_names import (
    ATTRIBUTES,
    GIVEN_BY_USERS,
    OF_BLACKDYNAMITE,
    OF_MOTOKO,
    why_reserved,
)
from motoko.errors import ParameterError
from motoko.runs.entry_table import OWN
from motoko.store.internals import own_entries
from motoko.store.internals.stored_objects import new_job, new_run

MADE = {
    "job": lambda entries: new_job(entries, OOBTree()),
    "run": lambda entries: new_run(entries, OOBTree(), []),
}
CLASSES = {"job": JobZEO, "run": RunZEO}


@pytest.mark.parametrize("kind", CLASSES)
def test_the_table_is_blackdynamites(kind):
    """Each attribute that is there before any parameter is in the table, and nothing else."""
    own_entries.install()
    of_classes = {name for name, _ in inspect.getmembers_static(CLASSES[kind])}
    of_objects = vars(MADE[kind]({}))
    there = {n for n in {*of_classes, *of_objects} if not n.startswith("_")} - OWN.keys()
    assert there == ATTRIBUTES[kind]


@pytest.mark.parametrize("kind", CLASSES)
def test_what_is_hidden_is_reserved(kind):
    """Tried: whatever a parameter's attribute does not give is in the table."""
    own_entries.install()
    names = [*ATTRIBUTES[kind], *dir(dict), *dir(CLASSES[kind]), "key_x", "key_id", "t", "lambda"]
    for name in sorted(set(names) - GIVEN_BY_USERS):
        made = MADE[kind]({name.lower(): 77, "x": 1, "id": 2})
        if getattr(made, name) != 77:
            assert why_reserved(kind, name, ["x"]), name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", " x", "x ", "x\ny"),
        *("id", "ID", "types", "optional", "keys", "base", "entries", "Items", "runs", "copy"),
        *("run_params", "commit", "self", "study", "run_id", "dbhost", "state", "key_id", "key_x"),
        *("_p_jar", "_v_x", "__class__", "update", "operators", "key_string", "setFields"),
    ],
)
def test_jobs(name):
    assert why_reserved("job", name, ["x"])


@pytest.mark.parametrize(
    "name",
    ["start", "getJob", "quantities", "key_state", *sorted(OF_BLACKDYNAMITE), *sorted(OF_MOTOKO)],
)
def test_runs(name):
    assert bool(why_reserved("run", name)) != (name in GIVEN_BY_USERS)


def test_free_names():
    for name in (
        "x",
        "t",
        "after",
        "nproc",
        "lambda",
        "key_y",
        "values",
        "start",
        "time",
        "n_p",
        "a b",
        "a-b",
        "é",
    ):
        assert why_reserved("job", name, ["x"]) is None
    for name in ("retries", "timeout", "environment", "finish", "nproc", "values", "get"):
        assert why_reserved("run", name) is None


def test_run_params():
    ours = {"run_name": "r", "workflow": "/w/motoko.yaml"}
    refuse_reserved("mult", {"depth": 1, "Run_Name": "r", "event_name": "e", "nproc": 2}, ours)
    for name in ("state", "id", "run_path", "run_name", "attempt", "Job_Id", "start"):
        with pytest.raises(ParameterError, match=f"study mult: run_params: '{name}' cannot"):
            refuse_reserved("mult", {"depth": 1, name: "other"}, ours)
