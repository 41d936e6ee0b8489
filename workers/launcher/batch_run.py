"""A run that is a job: what is known of it, and what its entries must say."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motoko.batch.batch_system import Job, Phase
from motoko.config.policy import Policy
from motoko.runs import job_script
from motoko.runs.claims import begun_for
from motoko.runs.ends import End
from motoko.runs.entries import OwnEntries
from motoko.runs.job_facts import GATHERED, PACKING
from motoko.runs.job_script import Evidence
from motoko.runs.outputs import output_stem
from motoko.workers.launcher.reconcile import Followed, Verdict
from motoko.workers.launcher.submission import Built

log = logging.getLogger(__name__)


@dataclass(eq=False)
class BatchRun:
    """A run that is, or is about to be, a job.

    Attributes:
        recorded: what its entries say of the job by now.
        deadline: when its time limit is reached (``time.monotonic``), if it runs and has a limit.
        reason: why it is being ended, if it is; ``final``: it gets no other attempt.
        is_cancelled: whether the scheduler was asked to cancel its job.
        is_told: whether the job of its pack was told to end it, and to go on with other runs.
        unreadable: why its directory cannot be read, if it cannot.
        built: what is submitted for it, once that is known.
        was_lost: whether a job of this attempt was lost, or is over, and has not started it.
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
    is_cancelled: bool = False
    is_told: bool = False
    unreadable: str = ""
    built: Built | None = None
    was_lost: bool = False
    _timed: int | None = None  # the attempt that the deadline is of

    @classmethod
    def of(cls, entries: Mapping[str, Any], policy: Policy) -> BatchRun:
        """The run with these entries, which name a submission."""
        own = OwnEntries(entries)
        number = entries["id"]
        # Attempts that the scheduler has added are counted from the one that was submitted.
        first = own.batch_attempt
        return cls(
            number,
            Path(entries["run_path"]),
            output_stem(str(entries.get("run_name"))),
            policy,
            Followed(first, own.batch_name or "", time.monotonic(), own.batch_job_id),
            {
                "attempt": own.attempt,
                "batch_name": own.batch_name,
                "batch_job_id": own.batch_job_id,
                "batch_state": own.batch_state,
                "batch_nodes": own.batch_nodes,
            },
            was_lost=own.batch_state == GATHERED,
        )

    @property
    def is_packed(self) -> bool:
        """Whether its policy is that it is in a pack with others."""
        return self.policy.is_packed

    @property
    def is_unsubmitted(self) -> bool:
        """Whether its entries say that it waits to be packed, and no pack has it."""
        waits = self.recorded["batch_state"] in (PACKING, GATHERED)
        return waits and self.is_packed and not (self.followed.packed or self.followed.job)

    @property
    def is_again(self) -> bool:
        """Whether it was submitted before, in this attempt or an earlier one."""
        return self.was_lost or self.followed.attempt > 1

    def follow(self, *, since: float, job: str | None = None, pack: str = "") -> None:
        """Note its submission: the scheduler's answers asked for after ``since`` show its job.

        ``pack``: the name of its pack; empty if the job is its own.
        """
        name = pack or self.followed.name
        self.followed = replace(
            *(self.followed,),
            **{"name": name, "packed": bool(pack), "since": since, "job": job},
            **{"absent": 0, "missed": 0.0, "seen": 0.0},
        )

    def rename(self, name: str) -> None:
        """Have it submitted under another name, since its last submission is closed."""
        self.was_lost = True
        self.followed = replace(self.followed, name=name, packed=False, job=None)
        self.built = None

    def cancel(self, reason: str, *, final: bool = False) -> None:
        """Have its job cancelled soon; ``final``: without another attempt."""
        if not self.reason:
            log.info("run %d: ending its job: %s", self.run_id, reason)
            self.reason, self.final = reason, final

    def evidence(self) -> Evidence:
        """What its run directory says of it."""
        return job_script.read(self.directory, self.followed.attempt)

    def close(self) -> bool:
        """Make sure that it does not start any more; ``False`` if it has started.

        Raises ``OSError`` if the directory cannot be written to.
        """
        return job_script.close(self.directory, self.followed.attempt, self.followed.name)

    def news(self, evidence: Evidence, job: Job | None, state: str | None) -> dict[str, Any]:
        """What its entries must say while it goes on."""
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
            self._limit(evidence, job)
        return now

    def _limit(self, evidence: Evidence, job: Job | None) -> None:
        """Set the deadline of an attempt that has begun; clear it if its job waits again."""
        if self.policy.timeout is None or evidence.attempt is None:
            return
        if job is not None and job.phase is Phase.PENDING:
            self.deadline = self._timed = None
        elif self._timed != evidence.attempt and not evidence.ended:
            passed = begun_for(self.directory, evidence.attempt)
            if passed is not None:
                self.deadline = time.monotonic() + self.policy.timeout - passed
                self._timed = evidence.attempt

    def end(self, verdict: Verdict, last_words: str) -> End:
        """How it has ended. ``last_words``: what the system wrote last into its job's output."""
        reason = self.reason or verdict.problem
        return End(
            code=verdict.code,
            reason=f"{reason}: {last_words}" if reason and last_words else reason,
            final=self.final or (verdict.final and not self.reason),
        )

    def last_entries(self, evidence: Evidence, nodes: str, state: str | None) -> dict[str, Any]:
        """What its entries must say of its job when it has ended."""
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


def last_state(verdict: Verdict) -> str:
    """The state of a job whose run has ended."""
    job = verdict.job
    if job is not None and job.phase is Phase.ENDED:
        return job.state
    # The scheduler has not reported the end yet, or does not answer any more.
    if verdict.code is not None:
        return "FAILED" if verdict.code else "COMPLETED"
    return "LOST" if job is None else "CANCELLED"
