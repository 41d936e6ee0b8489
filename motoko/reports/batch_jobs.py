"""What commands show of batch jobs, from the runs' entries and the scheduler's last answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motoko.config import WorkflowConfig
from motoko.control import daemon_records
from motoko.runs.entries import OwnEntries
from motoko.runs.job_facts import JobFacts


def last_answers(config: WorkflowConfig) -> tuple[dict[str, tuple[str, str]], str]:
    """The last answers of schedulers to the launchers; asks no scheduler.

    Returns:
        State with reason, and nodes, by job id; and why the last query had no answer, empty if it
        had one.
    """
    from motoko.batch.polling import read

    jobs: dict[str, tuple[str, str]] = {}
    silent = ""
    for path in (daemon_records.records(config).wf / "batch").glob("*.json"):
        view = read(path)
        jobs |= {job.id: (job.state_shown, job.nodes) for job in view.jobs}
        silent = silent or view.error
    return jobs, silent


def job_facts(config: WorkflowConfig, entries: Mapping[str, Any]) -> JobFacts | None:
    """What is known of a run's batch job; ``None`` if it has none."""
    if JobFacts.of(entries) is None:
        return None
    jobs, silent = last_answers(config)
    words, nodes = jobs.get(str(OwnEntries(entries).batch_job_id), ("", ""))
    return JobFacts.of(entries, words, silent, nodes)


def submitted(config: WorkflowConfig) -> int:
    """How many jobs the workflow has in the queue, as its launchers have noted.

    Launchers note this if the number of jobs is limited.
    """
    from motoko.batch.queue_room import counted

    return counted(daemon_records.records(config).wf / "batch", [*config.studies])
