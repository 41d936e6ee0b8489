"""Selections that ask a mirror: which one is believed, and what is made of what it finds."""

import logging
import sqlite3

import pytest
import transaction
from bare_studies import study_with_files
from followed_mirrors import FollowedMirror

from motoko.errors import ConstraintError
from motoko.mirror.mirror_file import NotUsable
from motoko.store import found_runs, matches
from motoko.store.base import open_file
from motoko.store.found_runs import Records
from motoko.store.study_database import create_study
from motoko.store.task_creator import TaskCreator

RUN = {"y": 0, "nproc": 1, "run_name": "r", "machine_name": "localhost"}


@pytest.fixture
def base(tmp_path):
    transaction.abort()
    study = study_with_files(tmp_path, jobs={"x": int}, runs={"y": int})
    create_study(study)
    base = open_file(study)
    TaskCreator(base).create([{"x": x} for x in range(100)], RUN, identity=[*RUN])
    transaction.commit()
    yield base
    transaction.abort()
    base.close()


@pytest.fixture
def mirror(base):
    return FollowedMirror(base)


@pytest.fixture
def looked_at(base, monkeypatch):
    """How many runs were looked at, one by one."""
    numbers = []
    meets = base.matches.meets
    monkeypatch.setattr(
        base.matches, "meets", lambda *args: numbers.append(args[1].entries["id"]) or meets(*args)
    )
    return numbers


def ids(base, text):
    return [run.entries["id"] for run, _ in base.found(base.predicate(text))]


def test_objects_are_made_when_they_are_asked_for(base, mirror, looked_at):
    base.connection.cacheMinimize()
    runs = base.found(base.predicate("x >= 10, x < 90"))
    assert len(runs) == 80 and looked_at == [] and mirror.asked == 1
    assert all(isinstance(run, Records) for run in runs._runs)
    run, job = runs[3]
    assert run is base.runs.entries[14] and job is base.jobs.entries[14] and run.y == 0
    assert [job.x for _, job in runs[5:7]] == [15, 16]
    assert base.found(base.predicate("x >= 10, x < 90"))[3] == (run, job)
    assert [job.x for _, job in base.select_pairs(base.predicate("x < 3"))] == [0, 1, 2]
    assert ids(base, "x = 100") == [] and looked_at == []


def test_runs_are_loaded_ahead(base, mirror, monkeypatch):
    monkeypatch.setattr(found_runs, "FIRST", 3)
    monkeypatch.setattr(found_runs, "AT_ONCE", 50)
    trips = []
    load = base.load
    base.connection.cacheMinimize()
    monkeypatch.setattr(base, "load", lambda objects: trips.append(len(objects)) or load(objects))
    assert sum(job.x for _, job in base.found(base.predicate("x < 60"))) == 59 * 30
    assert trips == [3, 3, 50, 50, 7, 7]
    trips.clear()
    pairs = base.select_pairs(base.predicate("x < 60"))
    assert len([run for run, _ in pairs]) == 60 and trips == []
    base.connection.cacheMinimize()
    assert isinstance(pairs, list) and trips == []
    assert len([run for run, _ in pairs]) == 60 and trips == [3, 3, 50, 50, 7, 7]


@pytest.mark.parametrize(
    "trouble", [NotUsable("there is none"), sqlite3.DatabaseError("malformed"), "none"], ids=str
)
def test_without_a_mirror_it_is_said_once(base, trouble, looked_at, monkeypatch, caplog):
    monkeypatch.setattr(matches, "MANY", 50)
    caplog.set_level(logging.INFO)
    if trouble != "none":
        FollowedMirror(base).trouble = trouble
    assert ids(base, "x < 3") == [1, 2, 3] and len(looked_at) == 100
    assert ids(base, "x < 4") == [1, 2, 3, 4]
    warnings = [each for each in caplog.records if "mirror" in each.message]
    assert [each.levelname for each in warnings] == ["WARNING"] * (trouble != "none")
    base.runs.entries[50].entries["y"] = 9
    assert ids(base, "y = 9") == [50]


def test_that_of_another_database(base, mirror, looked_at):
    mirror.index.tables.note(witness="00" * 8)
    base.runs.entries[3].entries["y"] = 7
    assert ids(base, "y = 7") == [3] and looked_at


def test_one_that_knows_what_the_database_does_not(base, mirror, looked_at):
    """The database is one that was restored: its newest transaction is an older one."""
    newer = base.db.storage.lastTransaction()[:-1] + b"\xff"
    mirror.index._stand_at(newer)
    assert ids(base, "x < 3") == [1, 2, 3] and looked_at


def test_one_whose_transaction_is_not_in_the_database(base, mirror, looked_at):
    """The database is one that was restored, and written since."""
    mirror._follows = False
    tid = mirror.index.tid
    base.runs.entries[1].entries["y"] = 5
    transaction.commit()
    mirror.index._stand_at(tid[:-1] + bytes([tid[-1] ^ 1]))
    assert ids(base, "y = 5") == [1] and len(looked_at) == 100


def test_it_comes_back(base, mirror, looked_at):
    """Once all runs were looked at, and then another mirror is there."""
    mirror.trouble = NotUsable("there is none")
    assert ids(base, "x < 3") == [1, 2, 3] and len(looked_at) == 100
    mirror.trouble = None
    base.jobs.entries[1].entries["x"] = 50
    assert ids(base, "x < 4") == [2, 3, 4] == ids(base, "x < 4")
    assert ids(base, "x < 3") == [2, 3]
    transaction.abort()
    assert ids(base, "x < 3") == [1, 2, 3] and len(looked_at) < 110


def test_what_is_pending_is_seen(base, mirror):
    """Changes, runs that are made and deleted, and all of it taken back."""
    mirror._follows = False
    runs = base.runs.entries
    for text in ("y = 1", "x < 3", "x > 200"):
        ids(base, text)
    runs[5].entries["y"] = 1
    del runs[2]
    TaskCreator(base).create([{"x": 200 + x} for x in range(50)], RUN, identity=[*RUN])
    for _ in range(2):
        assert ids(base, "y = 1") == [5] == ids(base, "y = 1, x >= 4")
        assert ids(base, "x < 3") == [1, 3] == ids(base, "x < 3, y < 1")
        assert len(ids(base, "x > 200")) == 49 == len(ids(base, "x > 200, y = 0"))
    transaction.abort()
    assert ids(base, "y = 1") == [] == ids(base, "x > 200")
    assert ids(base, "x < 3") == [1, 2, 3]


def test_a_view_that_stays_behind(base, mirror):
    """Others commit, and the mirror knows of it: the view has not moved on."""
    manager = transaction.TransactionManager()
    connection = base.db.open(manager)
    (content,) = [each for _, each in connection.root()["schemas"].entries.items()]
    runs = content["Runs"].entries
    runs[5].entries["y"] = 1
    del runs[2]
    content["Jobs"].entries[4].entries["x"] = 50
    manager.commit()
    assert ids(base, "y = 1") == [] and ids(base, "x < 4") == [1, 2, 3, 4]
    transaction.begin()
    assert ids(base, "y = 1") == [5] and ids(base, "x < 4") == [1, 3]
    connection.close()


def test_runs_whose_job_is_not_there(base, mirror, caplog):
    del base.jobs.entries[2]
    base.runs.entries[3].entries["job_id"] = True
    base.runs.entries[4].entries["job_id"] = "4"
    transaction.commit()
    assert ids(base, "y = 0")[:3] == [1, 3, 5]
    assert ids(base, "x = 0") == [1, 3]
    assert ids(base, "x < 4") == [1, 3]
    assert "study.2 is left out" in caplog.text and "study.4 is left out" in caplog.text


def test_names_that_no_run_carries(base, mirror, looked_at):
    for _ in range(2):
        with pytest.raises(ConstraintError, match="no run has 'energy'"):
            ids(base, "energy < 3")
    base.runs.entries[7].entries["energy"] = None
    assert ids(base, "energy < 3") == []
    transaction.commit()
    assert ids(base, "energy < 4") == []
    del base.runs.entries[7]
    with pytest.raises(ConstraintError, match="no run has 'energy'"):
        ids(base, "energy < 5")
    transaction.abort()
    assert ids(base, "energy < 5, types = 3") == [] and len(looked_at) < 20


def test_a_value_that_has_no_order(base, mirror):
    base.runs.entries[7].entries["energy"] = [1]
    base.runs.entries[9].entries["energy"] = {2}
    base.runs.entries[3].entries["energy"] = 1.0
    for _ in range(2):
        with pytest.raises(ConstraintError, match=r"study study: run 7: energy is of type list"):
            ids(base, "energy < 3, y = 8")
        transaction.commit()
    assert ids(base, "y = 8, energy < 3") == []


def test_much_has_changed_since(base, mirror, monkeypatch):
    """A mirror that is about to know it is waited for; one that stays behind is not believed."""
    monkeypatch.setattr("motoko.mirror.run_finder.FEW", 3)
    monkeypatch.setattr("motoko.mirror.run_finder.PATIENCE_S", 0.2)
    mirror._follows = False
    for number in range(1, 10):
        base.runs.entries[number].entries["y"] = 1
        transaction.commit()
    assert ids(base, "y = 1") == list(range(1, 10)) and mirror.asked > 2
    mirror.follow()
    asked = mirror.asked
    assert ids(base, "y = 1, x > 3") == list(range(5, 10)) and mirror.asked == asked + 1
    monkeypatch.setattr("motoko.store.written_records.TRANSACTIONS_MAX", 0)
    for y in (2, 3):
        base.runs.entries[50].entries["y"] = y
        transaction.commit()
    assert ids(base, "y = 3") == [50]
