"""A run that is a job: what is known of it, and what its entries are to say."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.policy import Policy
from motoko.run_output import output_stem
from motoko.workers.batch import job_script
from motoko.workers.batch.interface import Job
from motoko.workers.batch.job_script import Evidence
from motoko.workers.batch.reconcile import Followed

log = logging.getLogger(__name__)


@dataclass
class BatchRun:
    """A run that is, or is about to be, a job.

    Attributes:
        recorded: what its entries say of the job by now.
        deadline: when its time is over (seconds since 1970), if that is limited and it runs.
        reason: why it is being ended, if it is; ``final``: it gets no other attempt.
        told: whether the scheduler was told that.
    """

    run_id: int
    directory: Path
    stem: str
    policy: Policy
    followed: Followed
    recorded: dict[str, Any]
    deadline: float | None = None
    reason: str = ""
    final: bool = False
    told: bool = False

    @classmethod
    def of(cls, entries: Mapping[str, Any], policy: Policy) -> BatchRun:
        """From its entries, which name a submission."""
        attempt = int(entries.get("attempt") or 1)
        number = entries["id"]
        # Attempts that the scheduler has added are counted from the one that was submitted.
        first = int(entries.get("batch_attempt") or attempt)
        return cls(
            number,
            Path(entries["run_path"]),
            output_stem(str(entries.get("run_name"))),
            policy,
            Followed(first, entries["batch_name"], time.monotonic(), entries.get("batch_job_id")),
            {
                "attempt": attempt,
                **{name: entries.get(name) for name in ("batch_job_id", "batch_state")},
                "batch_nodes": entries.get("batch_nodes"),
            },
        )

    def evidence(self) -> Evidence:
        """What its directory says."""
        return job_script.read(self.directory, self.followed.attempt)

    def close(self) -> bool:
        """Make sure that it does not start any more; ``False`` if it has started.

        Raises ``OSError`` if the directory cannot be written to.
        """
        return job_script.close(self.directory, self.followed.attempt, self.followed.name)

    def news(self, evidence: Evidence, job: Job | None, state: str | None) -> dict[str, Any]:
        """What its entries are to say while it goes on."""
        now: dict[str, Any] = {"batch_state": state} if state else {}
        if self.followed.job:
            now["batch_job_id"] = self.followed.job
        nodes = (job.nodes if job else "") or evidence.nodes
        if nodes:
            now["batch_nodes"] = nodes
        if evidence.attempt is not None:
            if evidence.attempt > self.recorded["attempt"]:
                log.warning(
                    "run %d: started again by the scheduler, as attempt %d",
                    self.run_id,
                    evidence.attempt,
                )
                now["attempt"] = evidence.attempt
                now["last_failure"] = f"job {self.followed.job} was requeued by the scheduler"
            if self.policy.timeout is not None and not evidence.ended:
                began = job_script.started_at(self.directory, evidence.attempt)
                self.deadline = None if began is None else began + self.policy.timeout
        return now

    def last_entries(self, evidence: Evidence, nodes: str, state: str | None) -> dict[str, Any]:
        """What its entries are to say of its job when it has ended."""
        entries: dict[str, Any] = {"batch_name": None}
        if state is not None:
            entries["batch_state"] = state
        if job := evidence.job or self.followed.job:
            entries["batch_job_id"] = job
        if nodes := nodes or evidence.nodes:
            entries["batch_nodes"] = nodes
        if evidence.attempt is not None and evidence.attempt > self.recorded["attempt"]:
            entries["attempt"] = evidence.attempt
            entries["last_failure"] = f"job {job} was requeued by the scheduler"
        return entries
