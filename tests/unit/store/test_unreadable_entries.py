"""Entries of classes that a process does not have: it says so, and keeps them as they are."""

import sys
import types

import pytest
import transaction
from record_databases import Study

from motoko.errors import ConstraintError, UnreadableEntry
from motoko.store.constraints import compile_constraints

WORDS = r"'result' cannot be read: this process has no class vanished\.Result"


@pytest.fixture
def module(monkeypatch):
    """A module with a class, as beside a doIt.py; it is there until the test removes it."""
    made = types.ModuleType("vanished")
    made.Result = type("Result", (), {"__module__": "vanished", "value": 3})
    monkeypatch.setitem(sys.modules, "vanished", made)
    return made


@pytest.mark.parametrize("hold", [lambda one: one, lambda one: [one], lambda one: {"a": one}])
def test_it_is_named_and_kept(tmp_path, module, hold, monkeypatch):
    study = Study(tmp_path)
    base = study.base
    (run,) = study.create([1])
    transaction.commit()
    number = run.id
    result = module.Result()
    result.value = 5
    run["result"] = hold(result)
    transaction.commit()
    del sys.modules["vanished"]
    base.connection.cacheMinimize()

    for read in (lambda: run["result"], lambda: run.result):
        with pytest.raises(UnreadableEntry, match=rf"run {number}: {WORDS}"):
            read()
    assert "<unreadable: class vanished.Result>" in repr(dict(run.entries))
    assert run["state"] == run.state == "CREATED"
    predicate = compile_constraints(
        "result = 5", job_types={}, run_types={"id": int}, study="study"
    )
    with pytest.raises(ConstraintError, match=rf"run {number}: result cannot be read"):
        predicate(run.entries, {})

    run["other"] = 1  # the same record
    transaction.commit()
    base.connection.cacheMinimize()
    with pytest.raises(UnreadableEntry):
        _ = run["result"]
    monkeypatch.setitem(sys.modules, "vanished", module)
    base.connection.cacheMinimize()
    held = run["result"]
    one = held[0] if isinstance(held, list) else held["a"] if isinstance(held, dict) else held
    assert one.value == 5
    base.close()
