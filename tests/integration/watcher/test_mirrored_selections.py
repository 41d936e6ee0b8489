"""Selections that ask a mirror while others write, and while its file or watcher is spoilt."""

import os
import random
import signal

import mirrors
import pytest
from mirrors import path_of
from support import kill9, wait_until

from motoko import Workflow
from motoko.mirror import mirror_file
from motoko.store.session import session

CONSTRAINTS = ["state = FINISHED", "x < 20, runs.state != CREATED", "x >= 30", "note ~ 7", ""]


@pytest.fixture
def study(flow):
    workflow = Workflow(flow.path)
    yield workflow.mult
    workflow.close()


def check(study):
    """A new process's first selections, and those that are kept, are what a look at all finds."""
    again = Workflow(study.workflow.directory)
    for each in (study, again.mult):
        session().refresh(each.base)
        jobs = each.base.jobs.entries
        for text in CONSTRAINTS:
            wanted = each.base.predicate(text)
            true = [
                number
                for number, run in each.base.runs.entries.items()
                if wanted(dict(run.entries), jobs[run.entries["job_id"]].entries)
            ]
            assert [run.id for run, _ in each.base.matches.found(wanted)] == true, text
    again.close()


def test_whatever_becomes_of_the_mirror(flow, other, study):
    rng = random.Random(1)
    numbers = other.create("mult", [float(x) for x in range(50)])
    check(study)
    for turn in range(8):
        mirrors.check(flow)
        pid = wait_until(lambda: flow.pids().get("watcher"), "the watcher is back", timeout=20)
        if turn % 2:
            os.kill(pid, signal.SIGSTOP)  # it lags
        some = rng.sample(numbers, 5)
        other.play("mult", some, {"state": "FINISHED", "note": f"{turn}"})
        other.delete("mult", [numbers.pop()])
        numbers += other.create("mult", [100.0 * turn + x for x in range(50, 55)])
        check(study)
        path = path_of(flow)
        match turn // 2:
            case 0:
                mirror_file.remove(path)
            case 1:
                path.write_bytes(os.urandom(100_000))
            case 2:
                os.truncate(path, path.stat().st_size // 2)
        check(study)
        if turn % 2:
            os.kill(pid, signal.SIGCONT)
        else:
            kill9(pid)
        other.play("mult", rng.sample(numbers, 3), {"state": "START"})
        check(study)
