"""Which runs have changed is known without looking at them."""

import pytest
import transaction

from motoko.store.changed_runs import RunChanges
from motoko.store.task_creator import TaskCreator

RUNS = [1, 2, 3]


@pytest.fixture
def runs(base):
    """The study's runs: small ones, and one whose entries fill several records."""
    run = {"nproc": 1, "run_name": "r", "machine_name": "localhost"}
    TaskCreator(base).create(
        [{"x": number} for number in RUNS],
        run,
        identity=[*run],
    )
    transaction.commit()
    for number in range(100):
        base.runs.entries[3].entries[f"value{number}"] = number
    transaction.commit()
    return base.runs.entries


@pytest.fixture
def others(base, runs):
    """Change a run's entries, as another process does; ``None`` deletes the run."""
    manager = transaction.TransactionManager()
    connection = base.db.open(manager)

    def change(number, entries):
        manager.begin()
        content = connection.root()["schemas"].entries[base.schema]["Runs"].entries
        if entries is None:
            del content[number]
        else:
            content[number].entries.update(entries)
        manager.commit()

    yield change
    manager.abort()
    connection.close()


@pytest.fixture
def changes(base, runs):
    changes = RunChanges(base)
    assert changes.among(RUNS) == RUNS
    for number in RUNS:
        changes.seen(number)
    assert changes.among(RUNS) == []
    return changes


def look(changes, numbers=RUNS):
    """Those that are to be looked at, in a fresh view; they are."""
    transaction.begin()
    concerned = changes.among(numbers)
    for number in concerned:
        changes.seen(number)
    return concerned


@pytest.mark.parametrize("number", RUNS)
def test_others_change_a_run(changes, others, number):
    others(number, {"cancelled_by": "me"})
    assert look(changes) == [number]
    assert look(changes) == []
    others(number, {"cancelled_by": None})
    assert look(changes) == [number]


@pytest.mark.parametrize("number", RUNS)
def test_grown_by_the_own_thread(changes, others, runs, number):
    """Its entries may be in other records afterwards."""
    transaction.begin()
    for added in range(100):
        runs[number].entries[f"more{added}"] = added
    transaction.commit()
    assert look(changes) == [number]
    others(number, {"zzz": 1})
    assert look(changes) == [number]
    others(number, {"aaa": 1})
    assert look(changes) == [number]


def test_until_it_is_seen(changes, others):
    """A change stays in the list until its reader has succeeded."""
    others(2, {"cancelled_by": "me"})
    transaction.begin()
    assert changes.among(RUNS) == changes.among(RUNS) == [2]


def test_unknown_ones(changes, others):
    """Those that were not among them before are to be looked at; the deleted ones always."""
    assert look(changes, [1]) == []
    assert look(changes, [1, 2, 7]) == [2, 7]
    assert look(changes, [1, 2, 7]) == [7]
    others(1, None)
    transaction.begin()
    assert changes.among([2]) == []


def test_others_are_no_concern(changes, others, base):
    look(changes, [1, 2])
    others(3, {"cancelled_by": "me"})
    assert look(changes, [1, 2]) == []
