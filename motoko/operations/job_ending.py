"""Ending batch jobs without their launcher."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from motoko.batch import registry
from motoko.batch.batch_system import SchedulerSilent
from motoko.batch.commands import Commands
from motoko.config import StudyConfig
from motoko.runs import job_script
from motoko.runs.entries import OwnEntries
from motoko.runs.processes import directory_of

log = logging.getLogger(__name__)


async def end_jobs(study: StudyConfig, runs: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """Cancel the batch jobs of runs; returns the runs of which no process runs any more.

    Args:
        study: the runs' study.
        runs: by id, the entries of runs that are batch jobs.

    A running job takes a while to end: call this again to look again. If a scheduler gives no
    answer, none of its jobs counts as ended.
    """
    by_system: dict[str, dict[int, Mapping[str, Any]]] = {}
    for number, entries in runs.items():
        by_system.setdefault(str(OwnEntries(entries).batch_system), {})[number] = entries
    ended: set[int] = set()
    for system, jobs in by_system.items():
        try:
            await _cancel(system, [OwnEntries(entries) for entries in jobs.values()])
        except (SchedulerSilent, registry.UnknownSystem) as error:
            log.warning("%s", error)
        else:
            ended |= {number for number, entries in jobs.items() if _is_over(study, entries)}
    return ended


async def _cancel(system: str, jobs: Sequence[OwnEntries]) -> None:
    scheduler = registry.named(system).scheduler(Commands())
    await scheduler.cancel(
        [job.batch_job_id for job in jobs if job.batch_job_id],
        # Jobs without an id are being submitted, or the scheduler's answer was lost.
        names=[job.batch_name for job in jobs if job.batch_name and not job.batch_job_id],
    )


def _is_over(study: StudyConfig, entries: Mapping[str, Any]) -> bool:
    """Whether a run whose batch job was cancelled has ended, or can never start."""
    directory = directory_of(study, entries)
    if directory is None:
        return False
    own = OwnEntries(entries)
    attempt = own.batch_attempt
    if job_script.close(directory, attempt, own.batch_name or ""):
        return True
    return job_script.read(directory, attempt).ended
