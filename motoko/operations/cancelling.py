"""Cancelling runs: those that wait are never started, those that run are ended.

A run that waits becomes FAILED; a launcher that is about to start it gets a conflict, and looks
again. A running run gets the entry ``cancelled_by``, and its launcher ends it. If no launcher is
alive, this process ends the run's processes, and records the end as the launcher would.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from motoko.bus.dispatcher import Dispatcher
from motoko.bus.waiters import Interest, Waiter
from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import LAUNCHER, daemon_of
from motoko.config.policy import Policy
from motoko.control import client
from motoko.errors import MotokoError, NoSupervisor
from motoko.layout import Runtime, locate
from motoko.operations.job_ending import end_jobs
from motoko.runs.claims import read_exit
from motoko.runs.ends import End, cancelled_reason, settle, was_cancelled
from motoko.runs.entries import OwnEntries
from motoko.runs.job_facts import is_followed
from motoko.runs.outputs import stderr_path, tail
from motoko.runs.processes import (
    attempt_of,
    claim_of,
    directory_of,
    end_processes,
    is_elsewhere,
    is_here,
    is_running,
    members,
    take_claim,
)
from motoko.runs.run_times import times_of
from motoko.runs.states import (
    FAILED,
    FAILED_STATES,
    FINISHED,
    LAUNCHED,
    RUNNING_STATES,
    WAITING_STATES,
    state_of,
)
from motoko.store.base import StudyBase
from motoko.store.storage import PatientStorage
from motoko.store.transactions import commit_now

KILL_GRACE_S = 3.0  # from SIGTERM to SIGKILL
# A launcher that was not woken is told again after this time.
TELL_AGAIN_S = 2.0
LIVE_S = 3.0
POLL_S = 0.05


class NotCancellable(MotokoError):
    """A run to be cancelled does not exist, or has ended."""

    exit_code = 2


class Stage(Enum):
    """How far a run has come."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


def stage(base: StudyBase, entries: Mapping[str, Any]) -> Stage:
    """How far a run has come; a run in a user's own state is running while its processes are."""
    state = state_of(entries)
    if state in WAITING_STATES:
        return Stage.WAITING
    if state in RUNNING_STATES:
        return Stage.RUNNING
    if state == FINISHED or state in FAILED_STATES or OwnEntries(entries).ended_state:
        return Stage.ENDED
    return Stage.RUNNING if is_running(base.study, entries) else Stage.ENDED


def stages(base: StudyBase, numbers: Iterable[int]) -> dict[int, Stage]:
    """The stages of runs, as the base shows them now; those that do not exist are left out."""
    runs = base.loaded((number, base.runs.entries.get(number)) for number in numbers)
    return {number: stage(base, run.entries) for number, run in runs if run is not None}


def check_cancel(base: StudyBase, numbers: Collection[int]) -> None:
    """Raise ``NotCancellable`` if one of the runs does not exist or has ended."""
    study, runs = base.study.name, base.runs.entries
    reached = stages(base, numbers)
    for number in numbers:
        if number not in reached:
            raise NotCancellable(
                f"study {study} has no run {number}",
                hint=f"{base.known_runs}: see `motoko info`",
            )
        if reached[number] is Stage.ENDED:
            raise NotCancellable(
                f"run {study}.{number} has ended: it is {state_of(runs[number].entries)}",
                hint="only runs that wait or run are cancelled; nothing was changed",
            )


def _is_unrecorded(entries: Mapping[str, Any]) -> bool:
    """Whether the end of a run whose processes are gone has not been recorded."""
    state = state_of(entries)
    ended = OwnEntries(entries).ended_state
    return state in RUNNING_STATES or (state in FAILED_STATES and not ended)


class CancelOutcome(Enum):
    """The outcome of cancelling a run."""

    NOT_STARTED = "not started"
    PROCESSES_ENDED = "processes ended"
    ENDED_BY_ITSELF = "ended by itself"
    GONE = "gone"  # the run was deleted


@dataclass(frozen=True)
class CancelledRun:
    """A run that was to be cancelled.

    Attributes:
        outcome: the outcome; ``None`` if the run has not ended yet.
        state: the run's state, as it was last seen.
    """

    study: str
    run_id: int
    outcome: CancelOutcome | None
    state: str = ""


class Cancellation:
    """The cancelling of some runs of one study.

    Attributes:
        left: the runs that have not ended yet.
        ended: the outcomes of the runs that have ended.
    """

    def __init__(self, base: StudyBase, numbers: Iterable[int], who: str) -> None:
        self.base = base
        self.left: set[int] = set(numbers)
        self.ended: dict[int, CancelledRun] = {}
        self._who = who
        self._reason = cancelled_reason(who)
        self._ended_here: set[int] = set()  # runs whose processes this process has ended

    def look(self, *, again: bool = False) -> None:
        """Cancel waiting runs, ask for the end of running ones, and record those that have ended.

        With ``again``, the launchers are told once more. Raises ``StudyUnavailable``.
        """

        def work() -> dict[int, CancelledRun]:
            ended = {}
            for number in sorted(self.left):
                run = self.base.runs.entries.get(number)
                if run is None:
                    ended[number] = self._result(number, CancelOutcome.GONE)
                elif (outcome := self._cancel(number, run.entries, again)) is not None:
                    ended[number] = self._result(number, outcome, state_of(run.entries))
            return ended

        done = commit_now(self.base, work)
        self.ended.update(done)
        self.left -= done.keys()

    def _result(self, number: int, outcome: CancelOutcome | None, state: str = "") -> CancelledRun:
        return CancelledRun(self.base.study.name, number, outcome, state)

    def _cancel(self, number: int, entries: Any, again: bool) -> CancelOutcome | None:
        """Cancel one run; returns its outcome, or ``None`` if it has not ended."""
        at = stage(self.base, entries)
        state = state_of(entries)
        if at is Stage.WAITING or (state == LAUNCHED and self._is_unstarted(entries)):
            self._fail(entries)
            return CancelOutcome.NOT_STARTED
        if number in self._ended_here and _is_unrecorded(entries):
            self._record(entries)
            return CancelOutcome.PROCESSES_ENDED
        own = OwnEntries(entries)
        wanted = own.cancelled_by
        if at is Stage.RUNNING:
            if wanted is None:
                own.update({"cancelled_by": self._who})
            elif again:
                entries._p_changed = True
            return None
        if wanted is not None:
            own.drop("cancelled_by")  # otherwise it would end a later execution
            if state != FINISHED and state not in FAILED_STATES and not own.ended_state:
                self._fail(entries)  # the run was ended in a user's own state
        if was_cancelled(entries) or number in self._ended_here:
            return CancelOutcome.PROCESSES_ENDED
        return CancelOutcome.ENDED_BY_ITSELF

    def _is_unstarted(self, entries: Mapping[str, Any]) -> bool:
        """Whether a prepared run has not started; claims its attempt, so that it cannot start."""
        return (
            self.base.study.is_local
            and is_here(entries)
            and not is_followed(entries)
            and claim_of(self.base.study, entries) is None
            and take_claim(self.base.study, entries)
        )

    def _fail(self, entries: Any) -> None:
        own = OwnEntries(entries)
        own.drop("cancelled_by", "retry_at")
        own.update({"state": FAILED, "ended_state": FAILED, "failure_reason": self._reason})

    def _record(self, entries: Any) -> None:
        directory = directory_of(self.base.study, entries)
        code = None if directory is None else read_exit(directory, attempt_of(entries))
        own = OwnEntries(entries)
        if own.is_job:
            own.update({"batch_name": None, "batch_state": "CANCELLED"})
        end = End(code, self._reason, tail(stderr_path(entries, self.base.study)), final=True)
        own.drop("cancelled_by")
        own.update(times_of(entries, self.base.study.policy.environment))
        own.update(settle(entries, end, policy=Policy(), now=time.time()))

    def results(self) -> list[CancelledRun]:
        """All runs with their outcomes, sorted by id."""
        runs = self.base.runs.entries
        left = [self._result(n, None, state_of(runs[n].entries)) for n in self.left]
        return sorted([*self.ended.values(), *left], key=lambda run: run.run_id)

    def is_ours(self, living: Collection[str]) -> bool:
        """Whether this process must end the runs, because no launcher is alive that can."""
        study = self.base.study
        served = isinstance(self.base.db.storage, PatientStorage)
        return study.is_local and not (served and daemon_of(LAUNCHER, study.name) in living)

    async def end_here(self) -> None:
        """End the processes of the runs on this host, and record these ends."""
        runs, study = self.base.runs.entries, self.base.study
        here = {n: runs[n].entries for n in self.left if is_here(runs[n].entries)}
        jobs = {n: entries for n, entries in here.items() if is_followed(entries)}
        self._ended_here |= await end_jobs(study, jobs)
        claims = {n: claim_of(study, here[n]) for n in here if n not in jobs}
        for number, claim in [*claims.items()]:
            if claim is not None and is_elsewhere(study, here[number], claim):
                del claims[number]  # its processes are on another host
        end_processes([claim for claim in claims.values() if claim is not None], KILL_GRACE_S)
        self._ended_here |= {n for n, claim in claims.items() if not (claim and members(claim))}
        self.look()


async def until_ended(
    config: WorkflowConfig, cancellations: Sequence[Cancellation], patience: float
) -> None:
    """Wait until all runs have ended, at most ``patience`` s; ends runs that have no launcher.

    Sleeps until the bus reports a change, if there is a bus.
    """
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        waiter = None
        if (runtime := locate(config)) is not None:
            waiter = stack.enter_context(await _listening(runtime, cancellations))
        told_at = time.monotonic()
        while True:
            again = time.monotonic() - told_at >= TELL_AGAIN_S
            told_at = time.monotonic() if again else told_at
            living = client.daemons_at_work(config)
            for cancellation in cancellations:
                if cancellation.left:
                    cancellation.look(again=again)
                if cancellation.left and cancellation.is_ours(living):
                    await cancellation.end_here()
            left = deadline - time.monotonic()
            if left <= 0 or not any(cancellation.left for cancellation in cancellations):
                return
            pause = min(left, TELL_AGAIN_S)
            if waiter is not None:
                await waiter.wait(pause)
            else:
                await _news_of(cancellations, pause)


async def _listening(
    runtime: Runtime, cancellations: Sequence[Cancellation]
) -> contextlib.AbstractContextManager[Waiter]:
    """A waiter that the bus wakes when one of the runs changes its state."""
    bases = {cancellation.base.study.name: cancellation.base for cancellation in cancellations}
    dispatcher = Dispatcher(runtime, bases, lambda study: bases[study].tid)
    # Without a bus the dispatcher's fallback is enough: our own connections are told of commits.
    with contextlib.suppress(NoSupervisor, TimeoutError):
        async with asyncio.timeout(LIVE_S):
            await dispatcher.live()
    runs = [
        (cancellation.base.study.name, number)
        for cancellation in cancellations
        for number in cancellation.left
    ]

    @contextlib.contextmanager
    def listening() -> Iterator[Waiter]:
        try:
            with dispatcher.waiting(Interest(runs=runs)) as waiter:
                yield waiter
        finally:
            dispatcher.close()

    return listening()


async def _news_of(cancellations: Sequence[Cancellation], pause: float) -> None:
    """Sleep until one of the bases' own connections is told of a commit; sends no request."""
    deadline = time.monotonic() + pause
    before = [cancellation.base.tid for cancellation in cancellations]
    while time.monotonic() < deadline and before == [
        cancellation.base.tid for cancellation in cancellations
    ]:
        await asyncio.sleep(POLL_S)
