"""What the tests of batch jobs share: runs that note their executions, and their jobs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from launching import Session, place
from support import Flow, wait_until

from motoko.config import load
from motoko.control.study_access import opened
from motoko.runs.entries import DocumentedEntries

# First of all each execution leaves a file of its own, called after the job.
_JOB = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
NOTED = f': > "execution-{_JOB}-$(cat /proc/sys/kernel/random/uuid)"\n'


def note_executions(flow: Flow) -> None:
    """Have all runs of a workflow note their executions; before any is created."""
    for study in flow.studies:
        path = flow.directory / study / "launch.sh"
        lines = path.read_text().splitlines(keepends=True)
        head = list(itertools.takewhile(lambda line: line.startswith(("#", "\n")), lines))
        path.write_text("".join([*head, NOTED, *lines[len(head) :]]))


def executions(directory: Path) -> list[str]:
    """The jobs that have executed a run, each as often as they did; empty texts for no job."""
    found = [path.name.split("-")[1] for path in directory.glob("execution-*")]
    return sorted(found, key=lambda job: [int(number or 0) for number in job.split("_")])


def claims(directory: Path) -> list[int]:
    """The attempts of a run that were claimed."""
    return sorted(int(path.name.split("-")[1]) for path in directory.glob(".motoko/attempt-*"))


def entries(flow: Flow, study: str = "") -> list[dict[str, Any]]:
    """The entries of all runs of a study, at this moment."""
    config = load(flow.path)
    with opened(config, config.studies[study or flow.studies[0]], read_only=True) as base:
        return [dict(DocumentedEntries(run.entries)) for run in base.all_runs()]


def no_attempt_twice(flow: Flow) -> None:
    """Each attempt was executed at most once: there are as many claims as executions.

    An execution claims first, so somebody who is killed in between leaves a claim more.
    """
    for study in flow.studies:
        for directory in sorted((flow.directory / study).glob("BD-*-runs/run-*")):
            claimed, executed = claims(directory), executions(directory)
            assert len(executed) <= len(claimed), (directory, claimed, executed)


def job_of(session: Session, run: Any, attempt: int = 1) -> str:
    """The number of a run's job, as soon as it is known."""

    def known() -> str:
        session.refresh()
        assert DocumentedEntries(run.entries).get("attempt") == attempt, dict(
            DocumentedEntries(run.entries)
        )
        return str(DocumentedEntries(run.entries).get("batch_job_id") or "")

    return wait_until(known, f"run {run.id} has a job")


def executing(session: Session, run: Any, count: int = 1) -> str:
    """Wait until a run's launch.sh is being executed, for the ``count``th time; its last job."""
    directory = place(session.flow, run)

    def begun() -> str:
        found = executions(directory)
        assert len(found) == count, (found, dict(DocumentedEntries(run.entries)))
        return found[-1]

    return wait_until(begun, f"run {run.id} is executed", timeout=40)


def failed(session: Session, run: Any, *words: str, timeout: float = 60.0) -> dict[str, Any]:
    """Await a run, which has to fail with a reason that has these words; its entries."""
    (error,) = session.ends(run, timeout=timeout)
    session.refresh()
    seen = dict(DocumentedEntries(run.entries))
    assert error is not None, seen
    for word in words:
        assert word.lower() in error.reason.lower(), (word, error.reason)
    assert error.reason == seen["failure_reason"]
    assert (seen["state"], seen["ended_state"]) == ("FAILED", "FAILED"), seen
    return seen


def finished(session: Session, *runs: Any, timeout: float = 60.0) -> None:
    """Await runs, which have to be FINISHED."""
    errors = [str(error) for error in session.ends(*runs, timeout=timeout) if error is not None]
    assert not errors, errors
    for run in runs:
        session.until(run, ended_state="FINISHED")


def release_held(cluster: Any, count: int) -> None:
    """Wait until so many jobs are in a cluster's queue, and let them start."""
    held = wait_until(
        lambda: len(jobs := cluster.jobs("PENDING")) == count and jobs,
        "as many jobs are in the queue",
        timeout=60,
    )
    for job in held:
        cluster.run("scontrol", "release", job["id"])
