"""Runs that are to start again while an earlier attempt may go on, on another host."""

import pytest
import transaction
from bare_studies import study_with_files

from motoko.runs.entries import OwnEntries
from motoko.runs.fences import fence, fences
from motoko.store.base import open_file
from motoko.store.study_database import create_study
from motoko.store.task_creator import TaskCreator
from motoko.workers.launcher.preparing import Preparer

RUNS = [1, 2, 3, 4]


@pytest.fixture
def base(tmp_path):
    study = study_with_files(tmp_path, jobs={"x": int})
    create_study(study)
    base = open_file(study)
    run = {"run_name": "r", "machine_name": "localhost", "nproc": 1}
    TaskCreator(base).create([{"x": number} for number in RUNS], run, identity=[*run])
    transaction.commit()
    yield base
    base.close()


@pytest.fixture
def workflow(base):
    directory = base.study.directory.parent
    (directory / ".wf" / "channel").mkdir(parents=True)
    return directory


def claim(preparer, number, text):
    directory = preparer.directory(number) / ".motoko"
    directory.mkdir(parents=True)
    (directory / "attempt-1").write_text(text)
    return directory


def test_what_may_go_on_is_fenced_before_the_next_attempt_is_committed(base, workflow):
    preparer = Preparer(base, 2)
    claim(preparer, 1, "batch 17 n1\nn1\n")
    ended = claim(preparer, 2, "batch 18 n1\nn1\n")
    (ended / "exit-1.json").write_text('{"attempt": 1, "code": 3}')
    claim(preparer, 3, "")  # somebody was about to start it
    assert [preparer.prepare(number, False).attempt for number in RUNS] == [2, 2, 2, 1]
    fenced = fences(workflow, base.study.name)
    assert fenced.keys() == {(1, 1), (3, 1)}
    assert fenced[1, 1].reason == "attempt 2 of it has begun"


def test_no_attempt_is_one_that_is_fenced(base, workflow):
    """The run's directory was removed: `motoko clean`."""
    fence(workflow, base.study.name, 2, 1, "its node failed")
    preparer = Preparer(base, 2)
    assert [preparer.prepare(number, False).attempt for number in RUNS] == [1, 2, 1, 1]


def test_what_cannot_be_fenced_does_not_start_again(base, workflow):
    preparer = Preparer(base, 2)
    claim(preparer, 1, "batch 17 n1\nn1\n")
    (workflow / ".wf" / "channel" / "fenced").write_text("")
    assert preparer.prepare(1, False) is None
    assert OwnEntries(base.runs.entries[1].entries).attempt == 1
