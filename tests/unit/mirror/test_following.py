"""The mirror's rows while runs and jobs are changed: the database's, as a new walk finds them."""

import random

import numpy as np
import pytest
import transaction
from BTrees.OOBTree import OOBTree
from record_databases import OLD, index_of

from motoko.mirror.mirror_file import Mirror
from motoko.mirror.mirror_tables import COLUMNS_MAX, RUNS, Name, Owner
from motoko.mirror.mirrored_rows import names, rows

VALUES = [
    *(None, True, False, 0, 1, -3, 2**63, 0.5, float("inf"), "", "text", "é", [1], {"a": 1}),
    *((1, 2), {1, 2}, 1j, b"x", "x" * 5_000, np.float64(2.5), np.int32(3), np.zeros(2)),
]


@pytest.fixture(params=[True, False], ids=["log", "push"])
def both(request, study):
    """A study that is followed by records of its log, and by pushes of oids alone."""
    follow = study.follow
    study.follow = lambda: follow(request.param)
    return study


@pytest.mark.parametrize("seed", range(6))
def test_at_random(both, seed):
    rng = random.Random(seed)
    both.create(range(rng.choice([3, OLD, 80])))
    both.follow()
    for step in range(60):
        for _ in range(rng.choice([1, 1, 5])):
            change(both, rng, step)
        both.follow()
        if step % 10 == 9:
            both.check()


def change(study, rng, step):
    runs = study.base.runs.entries
    if not len(runs):
        study.create([1000 + step])
        return
    number = rng.choice(list(runs))
    run = runs[number]
    match rng.randrange(12):
        case 0:
            study.create([1000 + step])
        case 1:
            del runs[number]
        case 2:
            run.entries.update({f"n{i:03}": i for i in range(rng.randrange(3 * OLD))})
        case 3:
            for name in [name for name in run.entries if name.startswith("n")]:
                del run.entries[name]
        case 4:
            setattr(run, rng.choice(["note", "Note", "energy"]), rng.choice(VALUES))
        case 5:
            job = study.base.jobs.entries[run.entries["job_id"]]
            job.entries[rng.choice("xyz")] = rng.choice(VALUES)
        case 6:
            run.entries.pop(rng.choice(["energy", "note"]), None)
        case 7:
            run.entries["state"] = rng.choice(["START", "FINISHED", 3, None, "FAILED"])
        case _:
            run.entries[rng.choice(["energy", "note", "n001"])] = rng.choice(VALUES)


def test_other_entries(both):
    """A run whose entries are another tree from now on, and one whose are emptied."""
    first, second = both.create(range(2))
    for run in (first, second):
        run.entries.update({f"n{i:03}": i for i in range(3 * OLD)})
    both.follow()
    both.check()
    first.entries = OOBTree({"id": 1, "state": "NEW", "job_id": 1})
    second.entries.clear()
    second.entries.update({"id": 2, "state": "EMPTY"})
    assert [change.new for change in both.follow()] == ["NEW", "EMPTY"]
    both.check()


def test_all_runs_away(both):
    both.create(range(100))
    both.follow()
    both.base.runs.entries.clear()
    assert len(both.follow()) == 100
    both.create(range(100, 103))
    both.follow()
    both.check()


def test_another_under_the_same_number(both):
    _, second = both.create(range(2))
    both.follow()
    second.entries["state"] = "START"
    both.base.runs.entries[1] = second
    del both.base.runs.entries[2]
    assert {(c.run_id, c.old, c.new) for c in both.follow()} == {
        (1, "CREATED", "START"),
        (2, "CREATED", None),
    }


def test_entries_in_the_jobs_own_record(both):
    """Those that BlackDynamite's tools have made."""
    both.create([1.0])
    both.base.jobs.entries[1].entries = {"id": 1, "x": 2.0}
    both.follow()
    assert dict(rows(both.index.tables, 1))[1] == {
        Name(False, "id"): 1,
        Name(False, "x"): 2.0,
    }


def test_more_names_than_columns(both):
    runs = both.create(range(3))
    both.follow()
    for number in range(COLUMNS_MAX + 50):
        runs[number % 2].entries[f"name{number}"] = number
        if number % 100 == 0:
            both.follow()
    both.follow()
    both.check()
    runs[0].entries["name440"] = "other"
    runs[1].entries.pop("name441")
    both.follow()
    both.check()
    assert len(names(both.index.tables, RUNS)) > COLUMNS_MAX


def test_names_alike(both):
    (run,) = both.create([1])
    for number, name in enumerate(["select", "Select", "c1", "id", "x'\"", "ı", "é", "", " "]):
        run.entries[name] = number
    run.entries.update({"É": 1, "\ud800": 2})
    both.follow()
    ((_, values),) = rows(both.index.tables, RUNS)
    assert values[Name(False, "select")] == 0 and values[Name(False, "Select")] == 1
    assert values[Name(False, "x'\"")] == 4 and values[Name(False, "")] == 7
    assert Name(False, "\ud800") not in values


def test_without_values(study):
    """Without values, states and all fields of transitions are followed."""
    (run,) = study.create([1])
    run.entries["energy"] = 1.5
    transaction.commit()
    index = index_of(study.storage)
    index.tables = Mirror.in_memory(with_values=False).tables
    index.walk(study.storage.lastTransaction())
    assert [(n, r.state, r.job_id) for n, r in index.tables.runs()] == [(1, "CREATED", 1)]
    assert [set(values) for _, values in rows(index.tables, RUNS)] == [
        {Name(False, "state"), Name(False, "run_name"), Name(False, "job_id")}
    ]
    study.index = index
    run.entries["state"] = "START"
    assert [change.new for change in study.follow()] == ["START"]


def test_a_checkpoint_after_much(tmp_path):
    """The commit before it begins one, too: one is made after the other."""
    mirror = Mirror.new(tmp_path / "mult.sqlite")
    mirror.begin()
    for number in range(3_000):
        mirror.tables.add(Owner(RUNS, number), number)
    mirror.tables.note(tid="01", witness="02")
    mirror.checkpoint()
    mirror.close()
    again = Mirror.existing(tmp_path / "mult.sqlite", b"\x02", b"\x01")
    assert again.tables.count() == 3_000
    again.close()
