"""Runs are submitted once each, and what the machine or the scheduler cannot now is done later."""

import asyncio
import errno
import os
from pathlib import Path

import pytest
from fictitious_batch import Fictitious

from motoko.batch.batch_system import JobRefused, QueueFull, SchedulerSilent
from motoko.batch.commands import Commands
from motoko.config.policy import Policy
from motoko.runs.ends import End
from motoko.workers.launcher.batch_run import BatchRun
from motoko.workers.launcher.submitting import Submitter


@pytest.fixture
def run(tmp_path):
    (tmp_path / "launch.sh").write_text("#!/bin/sh\ntrue\n")
    entries = {"id": 7, "run_path": str(tmp_path), "run_name": "r", "batch_name": "n"}
    return BatchRun.of({**entries, "state": "launched"}, Policy())


@pytest.fixture
def scheduler():
    return Fictitious().scheduler(Commands())


@pytest.fixture
def submitter(tmp_path, scheduler):
    return Submitter(
        (tmp_path / "batch", tmp_path / "channel"), tmp_path / "spool", Fictitious(), scheduler
    )


def outcome(submitter, run):
    return asyncio.run(submitter.submit(run))


def answering(scheduler, monkeypatch, error):
    async def submit(submission):
        raise error

    monkeypatch.setattr(scheduler, "submit", submit)


def test_submitted(submitter, run, scheduler):
    assert outcome(submitter, run) == {"batch_job_id": "1", "batch_state": "PENDING"}
    assert run.followed.job == "1" and run.followed.name == "n" and not submitter.queue
    assert [submission.name for submission in scheduler.submissions] == ["n"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE, errno.EIO])
def test_what_passes_is_waited_for(submitter, run, monkeypatch, number):
    def failing(path, *args, **options):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing)
        patch.setattr(Path, "read_bytes", failing)
        with pytest.raises(OSError, match=os.strerror(number)):
            outcome(submitter, run)
    assert list(submitter.queue) == [run] and submitter.is_open
    submitter.queue.clear()
    assert outcome(submitter, run)["batch_job_id"] == "1"


def test_the_jobs_script_cannot_be_written(submitter, run, tmp_path):
    (tmp_path / "batch").write_text("no directory\n")
    with pytest.raises(OSError):
        outcome(submitter, run)
    assert list(submitter.queue) == [run]


def test_its_directory_is_gone(submitter, run, tmp_path):
    (tmp_path / "launch.sh").unlink()
    end = outcome(submitter, run)
    assert isinstance(end, End) and end.final and "launch.sh" in end.reason


def test_the_scheduler_takes_no_more(submitter, run, scheduler, monkeypatch):
    answering(scheduler, monkeypatch, QueueFull("fsub takes no more jobs now"))
    state = outcome(submitter, run)["batch_state"]
    assert state == "not submitted yet: fsub takes no more jobs now"
    assert list(submitter.queue) == [run] and not submitter.is_open


def test_it_refuses(submitter, run, scheduler, monkeypatch):
    answering(scheduler, monkeypatch, JobRefused("no such partition"))
    assert outcome(submitter, run) == End(reason="no such partition", final=True)


def test_it_gives_no_answer(submitter, run, scheduler, monkeypatch):
    """A job may have been queued: nothing is submitted until a later question is answered."""
    answering(scheduler, monkeypatch, SchedulerSilent("fsub gave no answer in time"))
    assert outcome(submitter, run) == {}
    submitter.queue.append(run)
    assert not submitter.is_open
    submitter.answered(run.followed.since - 1.0)
    assert not submitter.is_open
    submitter.answered(run.followed.since + 1.0)
    assert submitter.is_open
