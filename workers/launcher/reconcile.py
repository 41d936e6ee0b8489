"""Decides about a submitted run, from what the scheduler and its directory say. Pure logic.

Nothing is assumed: a run has ended when its exit record or the scheduler says so. Its job is lost
only if the scheduler's queue did not show it twice in a row, its accounting and other commands know
nothing of it, and no exit record comes either. If that job had not started, the run is submitted
again. So is a run of a pack whose job is over and has not come to this run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from motoko.batch.batch_system import LATE_RECORD_S, Job, Phase
from motoko.batch.polling import View
from motoko.runs.job_script import Evidence

# How many answers in a row must not show a job before it counts as absent.
ABSENT_MAX = 2
# How many jobs of an attempt may be lost before they start: a user may be cancelling them.
LOST_MAX = 3


@dataclass(frozen=True)
class Followed:
    """A submitted run, as far as it is known.

    Attributes:
        attempt: the attempt that it was submitted for.
        name: the submission's name.
        since: answers to what was asked after this time (``time.monotonic``) show its job.
        job: the scheduler's id; ``None`` as long as it is not known.
        absent: how many answers in a row did not show it.
        missed: when (``time.monotonic``) its exit record was first missed, because its job is over
            or not shown; 0 if it is not missed. The record may come late: on clusters, file systems
            show what other hosts write after a while.
        seen: when the last answer that was counted was asked for.
        lost: how many of its jobs were lost before they started.
        packed: whether its job executes other runs as well.
    """

    attempt: int
    name: str
    since: float
    job: str | None = None
    absent: int = 0
    missed: float = 0.0
    seen: float = 0.0
    lost: int = 0
    packed: bool = False


class Step(Enum):
    """What is to be done about a run."""

    WAIT = "wait"
    ASK = "ask"  # have the scheduler look up its job elsewhere than in the queue
    SUBMIT = "submit"  # it is not in the queue
    END = "end"


@dataclass(frozen=True)
class Verdict:
    """What is to be done, and what is known.

    Attributes:
        followed: the run, as it is known now.
        job: its job, if the scheduler shows it.
        surplus: ids of further jobs with the same name: they must not run.
        code, problem, final: how a run has ended: see :class:`motoko.runs.ends.End`.
    """

    step: Step
    followed: Followed
    job: Job | None = None
    surplus: tuple[str, ...] = ()
    code: int | None = None
    problem: str = ""
    final: bool = False


def judge(
    run: Followed,
    evidence: Evidence,
    view: View,
    asked: Job | None = None,
    *,
    patience: float = LATE_RECORD_S,
    has_begun: Callable[[str | None], bool] = lambda job: False,
) -> Verdict:
    """What is to be done about a run.

    Args:
        run: what is known of it.
        evidence: what its directory says.
        view: the scheduler's last answer.
        asked: what was found of its job after ``Step.ASK``.
        patience: how long a missing exit record is waited for, in seconds.
        has_begun: whether a job has started any run; asked about its job if that has not started
            this one.
    """
    if evidence.unreadable:
        return Verdict(Step.WAIT, run)  # nothing is known now
    if (evidence.code == 0 or (evidence.ended and run.packed)) and not evidence.signal:
        # The record is enough, whatever the scheduler says: the run was not disturbed. The job of a
        # pack goes on.
        job = _job_of(run, evidence, view)
        return Verdict(Step.END, run, job, code=evidence.code, problem=evidence.problem)
    is_left = run.packed and evidence.attempt is None
    if (
        asked is not None
        and asked.if_unstarted
        and (evidence.attempt is not None or (is_left and has_begun(asked.id)))
    ):
        asked = None
    fresh = view.asked > run.since
    job = (_job_of(run, evidence, view) if fresh else None) or asked
    run = replace(run, job=evidence.job or (job.id if job else run.job))
    surplus = tuple(
        other.id
        for other in (view.named(run.name) if fresh else [])
        if other.phase is not Phase.ENDED and job is not None and other.id != job.id
    )
    if not fresh:
        return Verdict(Step.WAIT, run)
    new = view.asked > run.seen
    run = replace(run, seen=view.asked)
    missed = run.missed or view.asked
    is_late = view.asked - missed >= patience
    if job is None:
        run = replace(run, absent=run.absent + new, missed=missed)
        begun = is_left and is_late and has_begun(run.job)
        return _absent(run, evidence, is_late=is_late, begun=begun)
    run = replace(run, absent=0)
    if job.phase is not Phase.ENDED:
        if job.hopeless:
            return Verdict(Step.END, run, job, surplus, problem=job.hopeless)
        return Verdict(Step.WAIT, replace(run, missed=0.0), job, surplus)
    if evidence.ended:
        return Verdict(
            *(Step.END, run, job, surplus),
            code=evidence.code,
            problem=evidence.problem or job.problem,
            final=job.final,
        )
    if is_left:
        return _left(run, job, evidence, surplus, begun=has_begun(job.id))
    run = replace(run, missed=missed)
    if not (job.problem or is_late):
        return Verdict(Step.WAIT, run, job, surplus)
    # A job is also cancelled if a node cannot start it: then no user wanted that.
    final = job.final and not (evidence.attempt is None and job.nodes)
    return Verdict(*(Step.END, run, job, surplus), problem=_unrecorded(job, evidence), final=final)


def _job_of(run: Followed, evidence: Evidence, view: View) -> Job | None:
    """The job that executes a run; of several with its name, the one that has claimed the run."""
    jobs: Sequence[Job] = view.named(run.name)
    for known in (evidence.job, run.job):
        for job in jobs:
            if known and job.id == known:
                return job
    if evidence.job or (run.job and not jobs):
        return None
    living = [job for job in jobs if job.phase is not Phase.ENDED]
    return next(iter(living or jobs), None)


def _left(
    run: Followed, job: Job, evidence: Evidence, surplus: tuple[str, ...], *, begun: bool
) -> Verdict:
    """A verdict about a run of a pack whose job is over and has not started it.

    ``begun``: the job has started other runs. A job that is ended again and again after it has
    started a run comes to all of them in the end.
    """
    if not begun and ((job.final and not job.nodes) or run.lost >= LOST_MAX):
        final = job.final and not job.nodes
        return Verdict(Step.END, run, job, surplus, problem=_unrecorded(job, evidence), final=final)
    again = replace(run, job=None, absent=0, missed=0.0, lost=run.lost + (not begun))
    return Verdict(Step.SUBMIT, again, job, surplus)


def _absent(run: Followed, evidence: Evidence, *, is_late: bool, begun: bool = False) -> Verdict:
    """A verdict if the scheduler does not show the job; ``is_late``: the exit record is overdue."""
    if run.absent < ABSENT_MAX:
        return Verdict(Step.WAIT if run.absent == 0 or run.job is None else Step.ASK, run)
    if evidence.ended:
        signal = f"it was sent SIG{evidence.signal}" if evidence.signal else ""
        return Verdict(Step.END, run, code=evidence.code, problem=evidence.problem or signal)
    if evidence.attempt is None and run.job is None:
        return Verdict(Step.SUBMIT, run)
    if not is_late:
        return Verdict(Step.WAIT if run.job is None else Step.ASK, run)
    if evidence.attempt is None and (run.lost < LOST_MAX or begun):
        # A scheduler that is killed forgets the jobs that it accepted in its last seconds.
        run = replace(run, job=None, absent=0, missed=0.0, lost=run.lost + (not begun))
        return Verdict(Step.SUBMIT, run)
    where = f", on {evidence.nodes}" if evidence.nodes else ""
    began = f"after it had started{where}" if evidence.attempt else "before it had started"
    return Verdict(
        Step.END, run, problem=f"its job {run.job} is lost: nobody knows it any more, {began}"
    )


def _unrecorded(job: Job, evidence: Evidence) -> str:
    """Why a run whose job is over has no exit record."""
    if job.final and job.nodes and evidence.attempt is None:
        return f"{job.problem} before it had started on {job.nodes}: by a user, or by the node"
    if job.problem:
        return job.problem
    if evidence.attempt is None:
        return f"its job ended without having started it: {job.state_shown}"
    return f"its job ended without an exit record: {job.state_shown}"
