"""Ending batch jobs without their launcher."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from motoko.bd.executions import attempt_of, directory_of
from motoko.config import StudyConfig
from motoko.workers.batch import job_script

log = logging.getLogger(__name__)

ANSWER_S = 30.0
AT_ONCE = 500  # on one command line


def end_jobs(study: StudyConfig, runs: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """Have the jobs of runs cancelled; returns those runs of which nothing runs any more.

    Args:
        study: the runs' study.
        runs: by id the entries of runs that are jobs.

    Called again it looks again: what runs takes a while to end. A scheduler that gives no answer
    has ended none.
    """
    ids = [str(each["batch_job_id"]) for each in runs.values() if each.get("batch_job_id")]
    # Of these only the name is known: they are being submitted, or nobody heard the answer.
    names = [each["batch_name"] for each in runs.values() if not each.get("batch_job_id")]
    told = all(_scancel(*ids[at : at + AT_ONCE]) for at in range(0, len(ids), AT_ONCE))
    told = all([_scancel(f"--name={name}") for name in names]) and told
    return {n for n, entries in runs.items() if told and _is_over(study, entries)}


def _is_over(study: StudyConfig, entries: Mapping[str, Any]) -> bool:
    """Whether a run whose job was cancelled has ended, or can never start."""
    directory = directory_of(study, entries)
    if directory is None:
        return False
    attempt = int(entries.get("batch_attempt") or attempt_of(entries))
    if job_script.close(directory, attempt, entries["batch_name"]):
        return True
    return job_script.read(directory, attempt).ended


def _scancel(*arguments: str) -> bool:
    """Whether scancel could tell the scheduler."""
    command = ["scancel", "--quiet", f"--user={os.getuid()}", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("scancel: %s", error)
        return False
    if done.returncode != 0:
        log.warning("scancel: %s", done.stderr.strip())
    return done.returncode == 0
