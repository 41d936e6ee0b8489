"""The time limit of a job's run: by the file system's clock, and for each attempt anew."""

import os
import time

import pytest

from motoko.batch.batch_system import Job, Phase
from motoko.config.policy import Policy
from motoko.runs.job_script import Evidence
from motoko.workers.launcher.batch_run import BatchRun

ENTRIES = {"id": 3, "run_name": "r", "motoko.attempt": 1, "motoko.batch_name": "s.3.1-x"}


@pytest.fixture
def run(tmp_path):
    (tmp_path / ".motoko").mkdir()
    return BatchRun.of({**ENTRIES, "run_path": str(tmp_path)}, Policy(timeout=60.0))


def begin(run, attempt, ago):
    path = run.directory / ".motoko" / f"attempt-{attempt}"
    path.touch()
    changed = path.stat().st_mtime - ago
    os.utime(path, (changed, changed))
    return Evidence(attempt, "7", "n1")


def left(run):
    return run.deadline - time.monotonic()


@pytest.mark.parametrize("wrong", [-3600.0, 0.0, 3600.0])
def test_whatever_this_hosts_clock_says(run, monkeypatch, wrong):
    evidence, now = begin(run, 1, ago=20.0), time.time()
    monkeypatch.setattr(time, "time", lambda: now + wrong)
    run.news(evidence, None, "RUNNING")
    assert left(run) == pytest.approx(40.0, abs=15.0)


def test_an_attempt_that_the_scheduler_has_added_has_all_of_its_time(run):
    run.news(begin(run, 1, ago=50.0), None, "RUNNING")
    assert left(run) <= 10.0
    pending = Job("7", "s.3.1-x", "PENDING", Phase.PENDING)
    run.news(Evidence(1, "7", "n1"), pending, "PENDING")
    assert run.deadline is None
    run.news(begin(run, 2, ago=0.0), None, "RUNNING")
    assert left(run) > 30.0
