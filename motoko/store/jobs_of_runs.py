"""The job of a run, and so its parameters: by its ``job_id``, unless that was overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motoko.config import StudyConfig
from motoko.errors import MotokoError


class NoJob(MotokoError):
    """A run's ``job_id`` names no job, or not its own."""


def job_of(jobs: Mapping[int, Any], run: Mapping[str, Any]) -> Any:
    """The job that a run's entries name; ``NoJob`` if there is no such job.

    Args:
        jobs: the study's jobs, by id.
        run: the run's entries.
    """
    number = run.get("job_id")
    job = jobs.get(number) if isinstance(number, int) else None
    if job is None:
        raise NoJob(f"its job_id is {number!r}, and there is no such job")
    return job


def own_job(jobs: Mapping[int, Any], run: Mapping[str, Any]) -> Any:
    """The job that a run's entries name; ``NoJob`` unless that job has the run, too."""
    job = job_of(jobs, run)
    if hasattr(job, "runs") and run["id"] not in job.runs.entries:
        raise NoJob(f"its job_id is {run['job_id']}, and that job does not have the run")
    return job


def parameters_of(
    study: StudyConfig, jobs: Mapping[int, Any], run: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of the job that a run names, in the order of bd.yaml; none without a job."""
    try:
        entries = job_of(jobs, run).entries  # to look whether it is its own costs a record
    except NoJob:
        return {}
    names = [*(name for name in study.declared("job") if name in entries)]
    names += [name for name in entries if name not in names and name != "id"]
    return {name: entries[name] for name in names}
