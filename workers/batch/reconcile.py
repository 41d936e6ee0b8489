"""What has become of a submitted run: from what the scheduler and its directory say. Pure logic.

Nothing is assumed: a run has ended when its record or the scheduler says so, and is lost only when
two answers in a row and everybody else who may be asked know nothing of its job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from motoko.workers.batch.interface import Job, Phase
from motoko.workers.batch.job_script import Evidence
from motoko.workers.batch.polling import View

# How many answers without a trace of a job it takes.
ABSENT_MAX = 2
# How many answers after a job's end are waited for its exit record: file systems of clusters show
# what other hosts write after a while.
LATE_MAX = 2


@dataclass(frozen=True)
class Followed:
    """A submitted run, as far as it is known.

    Attributes:
        attempt: the one that it was submitted for.
        name: of the submission.
        since: from when on (``time.monotonic``) an answer of the scheduler shows it.
        job: the scheduler's id; ``None`` as long as it is not known.
        absent: how many answers in a row did not show it.
        late: how many answers in a row have shown it ended, without an exit record.
        seen: of the last answer that was counted.
    """

    attempt: int
    name: str
    since: float
    job: str | None = None
    absent: int = 0
    late: int = 0
    seen: float = 0.0


class Step(Enum):
    """What is to be done about a run."""

    WAIT = "wait"
    ASK = "ask"  # who else may know what has become of its job
    SUBMIT = "submit"  # it is not in the queue
    END = "end"


@dataclass(frozen=True)
class Verdict:
    """What is to be done, and what is known.

    Attributes:
        followed: the run, as it is known now.
        job: its job, if the scheduler shows it.
        surplus: ids of further jobs of that name: they must not run.
        code, problem, final: of a run that has ended: see :class:`motoko.workers.ends.End`.
    """

    step: Step
    followed: Followed
    job: Job | None = None
    surplus: tuple[str, ...] = ()
    code: int | None = None
    problem: str = ""
    final: bool = False


def judge(run: Followed, evidence: Evidence, view: View, asked: Job | None = None) -> Verdict:
    """What is to be done about a run.

    Args:
        run: what is known of it.
        evidence: what its directory says.
        view: what the scheduler has said last.
        asked: what somebody else said of its job, after ``Step.ASK``.
    """
    if evidence.code == 0 and not evidence.signal:
        # The scheduler has no word in this: nobody has disturbed it.
        found = _job_of(run, evidence, view)
        return Verdict(Step.END, run, found, code=0)
    fresh = view.asked > run.since
    found = (_job_of(run, evidence, view) if fresh else None) or asked
    run = replace(run, job=evidence.job or (found.id if found else run.job))
    surplus = tuple(
        job.id
        for job in (view.named(run.name) if fresh else [])
        if job.phase is not Phase.ENDED and found is not None and job.id != found.id
    )
    if not fresh:
        return Verdict(Step.WAIT, run)
    new = view.asked > run.seen
    run = replace(run, seen=view.asked)
    if found is None:
        return _absent(replace(run, absent=run.absent + new, late=0), evidence)
    run = replace(run, absent=0)
    if found.phase is not Phase.ENDED:
        if found.hopeless:
            return Verdict(Step.END, run, found, surplus, problem=found.hopeless)
        return Verdict(Step.WAIT, replace(run, late=0), found, surplus)
    if evidence.ended:
        return Verdict(
            *(Step.END, run, found, surplus),
            code=evidence.code,
            problem=found.problem,
            final=found.final,
        )
    run = replace(run, late=run.late + new)
    if not found.problem and run.late < LATE_MAX:
        return Verdict(Step.WAIT, run, found, surplus)
    # A node that cannot start a job has it cancelled, too: that is nobody's wish.
    final = found.final and not (evidence.attempt is None and found.nodes)
    return Verdict(
        *(Step.END, run, found, surplus), problem=_unrecorded(found, evidence), final=final
    )


def _job_of(run: Followed, evidence: Evidence, view: View) -> Job | None:
    """The job that executes a run; of several with its name, the one that has claimed it."""
    jobs: Sequence[Job] = view.named(run.name)
    for wanted in (evidence.job, run.job):
        for job in jobs:
            if wanted and job.id == wanted:
                return job
    if evidence.job or (run.job and not jobs):
        return None
    living = [job for job in jobs if job.phase is not Phase.ENDED]
    return next(iter(living or jobs), None)


def _absent(run: Followed, evidence: Evidence) -> Verdict:
    """A run whose job the scheduler does not show."""
    if run.absent < ABSENT_MAX:
        return Verdict(Step.WAIT if run.absent == 0 or run.job is None else Step.ASK, run)
    if evidence.ended:
        told = f"it was sent SIG{evidence.signal}" if evidence.signal else ""
        return Verdict(Step.END, run, code=evidence.code, problem=told)
    if evidence.attempt is None and run.job is None:
        return Verdict(Step.SUBMIT, run)
    where = f", on {evidence.nodes}" if evidence.nodes else ""
    began = f"after it had started{where}" if evidence.attempt else "before it had started"
    return Verdict(
        Step.END, run, problem=f"its job {run.job} is lost: nobody knows it any more, {began}"
    )


def _unrecorded(job: Job, evidence: Evidence) -> str:
    """Why a run whose job is over has no exit record."""
    if job.final and job.nodes and evidence.attempt is None:
        return f"{job.problem} before it had started on {job.nodes}: by somebody, or by the node"
    if job.problem:
        return job.problem
    if evidence.attempt is None:
        return f"its job ended without having started it: {job.said}"
    return f"its job ended without an exit record: {job.said}"
