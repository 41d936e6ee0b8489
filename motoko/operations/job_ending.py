"""Ending batch jobs without their launcher."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from motoko.batch import registry
from motoko.batch.batch_system import SchedulerSilent
from motoko.batch.commands import Commands
from motoko.config import StudyConfig
from motoko.host.machine_troubles import described
from motoko.runs import job_script, packs
from motoko.runs.entries import OwnEntries
from motoko.runs.pack_members import living
from motoko.runs.processes import directory_of

log = logging.getLogger(__name__)


async def end_jobs(study: StudyConfig, runs: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """Cancel the batch jobs of runs; returns the runs of which no process runs any more.

    Args:
        study: the runs' study.
        runs: by id, the entries of runs that are batch jobs.

    A running job takes a while to end: call this again to look again. If a scheduler gives no
    answer, none of its jobs counts as ended. The job of a pack is cancelled if it has no other runs
    to execute.
    """
    by_system: dict[str, dict[int, Mapping[str, Any]]] = {}
    for number, entries in runs.items():
        by_system.setdefault(str(OwnEntries(entries).batch_system), {})[number] = entries
    ended: set[int] = set()
    for system, jobs in by_system.items():
        try:
            await _cancel(system, study, jobs)
        except (SchedulerSilent, registry.UnknownSystem) as error:
            log.warning("%s", error)
        else:
            ended |= {number for number, entries in jobs.items() if _is_over(study, entries)}
    return ended


async def _cancel(system: str, study: StudyConfig, runs: Mapping[int, Mapping[str, Any]]) -> None:
    scheduler = registry.named(system).scheduler(Commands())
    ending: dict[str, bool] = {}  # by pack: whether its job ends as well
    ids, names = set(), set()
    for number, entries in runs.items():
        job = OwnEntries(entries)
        directory, name = directory_of(study, entries), job.batch_name or ""
        try:
            pack = packs.find(directory.parent, name) if directory is not None else None
            if directory is not None and pack is not None:
                name = pack.name
                if name not in ending:
                    left = living(directory, number, name)
                    ending[name] = left <= runs.keys()
                if not ending[name]:
                    is_closed = job_script.close(directory, job.batch_attempt, name)
                    if not is_closed and number not in pack.ending:
                        packs.end(directory.parent, name, number)
                    continue
        except OSError as error:
            log.warning("run %s.%d: %s", study.name, number, described(error))
            continue
        if job.batch_job_id:
            ids.add(job.batch_job_id)
        elif name:
            names.add(name)  # it is being submitted, or the scheduler's answer was lost
    await scheduler.cancel(ids, names=names)


def _is_over(study: StudyConfig, entries: Mapping[str, Any]) -> bool:
    """Whether a run whose batch job was cancelled has ended, or can never start."""
    directory = directory_of(study, entries)
    if directory is None:
        return False
    own = OwnEntries(entries)
    attempt, name = own.batch_attempt, own.batch_name or ""
    pack = packs.find(directory.parent, name)
    if job_script.close(directory, attempt, name if pack is None else pack.name):
        return True
    return job_script.read(directory, attempt).ended
