"""How a launcher that has just started judges a run, from its entries and its directory."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motoko.config.policy import LATER, Policy
from motoko.config.run_files import LAUNCH
from motoko.host.files import contents
from motoko.host.identity import Identity
from motoko.runs import claims
from motoko.runs.ends import REBOOTED, End, cancelled_reason
from motoko.runs.entries import OwnEntries
from motoko.runs.foreign_processes import ForeignProcesses
from motoko.runs.outputs import output_stem, stderr_path, tail
from motoko.runs.paths import recorded_directory
from motoko.runs.sessions import in_session
from motoko.runs.states import (
    FAILED_STATES,
    FINISHED,
    RUNNING_STATES,
    WAITING_STATES,
    state_of,
)
from motoko.runs.used import Used
from motoko.runs.wrappers import Wrapper

FOREIGN = "BlackDynamite or motoko 0.1.4 had started it, and it does not run any more"
ON_SLURM = (
    "BlackDynamite or motoko 0.1.4 has submitted it to Slurm, and whether its job runs cannot be "
    "seen from here: left alone. If it has ended, set the state to FAILED: canYouDigIt runs update"
)
# The exit codes of launch.sh if a host that shuts down has ended its processes.
_GOING_DOWN = (128 + signal.SIGHUP, 128 + signal.SIGTERM)
_COPIED = "its directory was copied, or restored, while it was executed"


@dataclass(frozen=True)
class Situation:
    """The situation of a run, for a launcher that has not seen the run before.

    Attributes:
        is_unstarted: its state is ``launched``, and no launcher has started it.
        retry_at: it waits, and must not be started before this time (seconds since the epoch).
        end: its attempt has ended, and the end must be recorded.
        process: its attempt runs: this is its wrapper, or a process that has outlived the wrapper.
        wrapper: the wrapper that started it; processes that it left behind may live.
        job: the run's entries if it is a job; they say which one.
        reset: the run's entries if it waits again and was a job; that job must be cancelled.
        is_handed_over: launch.sh has ended well, and other processes go on with its work.
        again: why nothing can be done now: the run must be looked at again.
    """

    run_id: int
    directory: Path
    attempt: int
    stem: str
    policy: Policy
    is_unstarted: bool = False
    retry_at: float | None = None
    end: End | None = None
    process: Identity | None = None
    wrapper: Wrapper | None = None
    job: Mapping[str, Any] | None = None
    reset: Mapping[str, Any] | None = None
    is_handed_over: bool = False
    again: str = ""


def examine(
    run: Mapping[str, Any],
    policy_of: Callable[[Mapping[str, Any]], Policy],
    foreign: ForeignProcesses | None = None,
    workflow: Path | None = None,
) -> Situation | None:
    """The situation of a run; ``None`` if there is nothing to be done.

    Args:
        run: its entries.
        policy_of: says from a run's entries how it is executed.
        foreign: the processes that execute runs not started by Motoko, if they were looked for.
        workflow: the workflow's directory, where hosts note when they were booted.

    A run on another host is left alone until its end is recorded. A run that BlackDynamite or
    motoko 0.1.4 has started here is left alone as long as it lives.

    A run that has set a final state itself may still be running; its end must be recorded, too.
    """
    state = state_of(run)
    own = OwnEntries(run)
    directory = recorded_directory(run) or Path("/nonexistent")
    stem = output_stem(str(run.get("run_name")))
    on_its_way = state in RUNNING_STATES
    if not (state in WAITING_STATES or own.is_job or on_its_way) and (
        own.ended_state or own.exit_code is not None
    ):
        return None
    known = Situation(run["id"], directory, own.attempt, stem, policy_of(run))
    if state in WAITING_STATES:
        return replace(known, retry_at=own.retry_at, reset={**run} if own.is_job else None)
    if own.is_job:
        return replace(known, job={**run})
    try:
        claim = claims.read_claim(directory, own.attempt, workflow)
        if claim is None:
            if not on_its_way:
                return None
            if own.is_prepared:
                return replace(known, is_unstarted=True)
            return _foreign(known, run, foreign or ForeignProcesses())
        wrapper = claim.wrapper
        if claim.is_here and wrapper.alive:
            return replace(known, process=wrapper.process, wrapper=wrapper)
        record = claims.read_record(directory, own.attempt)
    except claims.UnreadableRecord as error:
        return replace(known, again=str(error))
    code = claims.code_of(record)
    if code is None and claim.where is claims.Where.ELSEWHERE:
        text = (
            f"it was started on {wrapper.process.host}, and cannot be seen from here: left alone. "
            "If that host is gone for good: motoko retry --lost"
        )
        return replace(known, again=text)
    is_over = state == FINISHED or state in FAILED_STATES
    if code == 0 and known.policy.finish == LATER and not is_over:
        return replace(known, wrapper=wrapper, is_handed_over=True)
    left = in_session(wrapper) if claim.is_here else []
    if code is None and left:
        return replace(known, process=left[0], wrapper=wrapper)
    rebooted = claim.where is claims.Where.REBOOTED and code in (None, *_GOING_DOWN)
    lost = _COPIED if claim.where is claims.Where.COPIED else claims.KILLED
    reason = REBOOTED if rebooted else lost if code is None else ""
    stderr, used = tail(stderr_path(run)), Used.recorded(record)
    end = End(code=code, reason=reason, stderr=stderr, interrupted=rebooted, used=used)
    if rebooted and own.cancelled_by:  # no launcher was there to end it
        end = replace(end, reason=cancelled_reason(own.cancelled_by), interrupted=False, final=True)
    return replace(known, end=end, wrapper=wrapper if claim.is_here else None)


def _foreign(known: Situation, run: Mapping[str, Any], foreign: ForeignProcesses) -> Situation:
    """The situation of a run that BlackDynamite's launcher or motoko 0.1.4 has started."""
    processes = foreign.of(known.directory, known.run_id)
    if processes:
        text = f"BlackDynamite or motoko 0.1.4 has started it (pid {processes[0].pid}): left alone"
        return replace(known, again=text)
    # BlackDynamite writes this line, but does not keep the job's id.
    job_name = f"\n#SBATCH --job-name={known.run_id}_{run.get('run_name')}\n"
    try:
        script = contents(known.directory / LAUNCH) or b""
    except OSError as error:
        return replace(known, again=f"{LAUNCH} cannot be read now: {error.strerror or error}")
    if job_name.encode() in script:
        return replace(known, again=ON_SLURM)
    return replace(known, end=End(reason=FOREIGN, stderr="", final=True))
