"""Cancelling runs: those that wait are never started, those that run are ended.

A run that waits is made FAILED; a launcher that is about to start it meets a conflict, and looks
again. A run that runs gets the entry ``cancelled_by``, and its launcher ends it. Where none lives,
its processes are ended from here, and its end is recorded as the launcher would.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from motoko import control
from motoko.bd.base import StudyBase
from motoko.bd.executions import (
    attempt_of,
    claim_of,
    directory_of,
    end_processes,
    is_here,
    is_running,
    members,
    take_claim,
)
from motoko.bd.job_ending import end_jobs
from motoko.bd.maintenance import atomically
from motoko.bd.storage import PatientStorage
from motoko.config import WorkflowConfig
from motoko.dispatch import Dispatcher, Interest, Waiter
from motoko.errors import MotokoError, NoSupervisor
from motoko.job_facts import is_followed
from motoko.policy import Policy
from motoko.run_output import stderr_path, tail
from motoko.runtime import Runtime, locate
from motoko.states import (
    CANCELLED_BY,
    FAILED,
    FAILED_STATES,
    FINISHED,
    LAUNCHED,
    RUNNING_STATES,
    WAITING_STATES,
)
from motoko.workers.ends import End, settle
from motoko.workers.wrapper import read_exit

KILL_GRACE_S = 3.0  # from SIGTERM to SIGKILL
# A launcher that was not woken is told again.
TELL_AGAIN_S = 2.0
LIVE_S = 3.0
POLL_S = 0.05
ENDED = "cancelled; its processes were ended"


class NotCancellable(MotokoError):
    """A run that is to be cancelled does not exist, or has ended."""

    exit_code = 2


class Stage(Enum):
    """How far a run has come."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


def stage(base: StudyBase, entries: Mapping[str, Any]) -> Stage:
    """How far a run has come; one in a user's own state runs as long as its processes do."""
    state = entries.get("state")
    if state in WAITING_STATES:
        return Stage.WAITING
    if state in RUNNING_STATES:
        return Stage.RUNNING
    if state == FINISHED or state in FAILED_STATES or entries.get("ended_state"):
        return Stage.ENDED
    return Stage.RUNNING if is_running(base.study, entries) else Stage.ENDED


def stages(base: StudyBase, numbers: Iterable[int]) -> dict[int, Stage]:
    """The stages of runs, as the base shows them now; those that do not exist are left out."""
    found = base.loaded((number, base.runs.entries.get(number)) for number in numbers)
    return {number: stage(base, run.entries) for number, run in found if run is not None}


def check_cancel(base: StudyBase, numbers: Collection[int]) -> None:
    """Raise ``NotCancellable`` if one of the runs does not exist or has ended."""
    study, runs = base.study.name, base.runs.entries
    found = stages(base, numbers)
    for number in numbers:
        if number not in found:
            raise NotCancellable(
                f"study {study} has no run {number}",
                hint=f"it has {len(runs)} runs: see `motoko info`",
            )
        if found[number] is Stage.ENDED:
            raise NotCancellable(
                f"run {study}.{number} has ended: it is {runs[number].entries.get('state')}",
                hint="only runs that wait or run are cancelled; nothing was changed",
            )


def _is_unrecorded(entries: Mapping[str, Any]) -> bool:
    """Whether nobody has recorded the end of a run whose processes have gone."""
    state = entries.get("state")
    return state in RUNNING_STATES or (state in FAILED_STATES and not entries.get("ended_state"))


class Cancellation:
    """Some runs of one study that somebody wants to have ended.

    Attributes:
        left: those that have not ended yet.
        ended: what became of the others, in a few words.
    """

    def __init__(self, base: StudyBase, numbers: Iterable[int], who: str) -> None:
        self.base = base
        self.left: set[int] = set(numbers)
        self.ended: dict[int, str] = {}
        self._who = who
        self._reason = f"cancelled by {who}"
        self._ended_here: set[int] = set()  # whose processes we have ended

    def look(self, *, again: bool = False) -> None:
        """Cancel those that wait, have the others ended, and note those that have ended.

        With ``again``, those who are to end them are told once more. Raises ``StudyUnavailable``.
        """

        def work() -> dict[int, str]:
            found = {}
            for number in sorted(self.left):
                run = self.base.runs.entries.get(number)
                what = self._cancel(number, run.entries, again) if run is not None else "is gone"
                if what:
                    found[number] = what
            return found

        done = atomically(self.base, work)
        self.ended.update(done)
        self.left -= done.keys()

    def _cancel(self, number: int, entries: Any, again: bool) -> str:
        """One run: what became of it, or nothing if it has not ended."""
        at = stage(self.base, entries)
        state = entries.get("state")
        if at is Stage.WAITING or (state == LAUNCHED and self._is_unstarted(entries)):
            self._fail(entries)
            return "cancelled; it was not started"
        if number in self._ended_here and _is_unrecorded(entries):
            self._record(entries)
            return ENDED
        wanted = entries.get(CANCELLED_BY)
        if at is Stage.RUNNING:
            if wanted is None:
                entries[CANCELLED_BY] = self._who
            elif again:
                entries._p_changed = True
            return ""
        if wanted is not None:
            del entries[CANCELLED_BY]  # or it would end an execution to come
            if state != FINISHED and state not in FAILED_STATES and not entries.get("ended_state"):
                self._fail(entries)  # it was ended in a state of the user's own
        cancelled = str(entries.get("failure_reason")).startswith("cancelled by ")
        if cancelled or number in self._ended_here:
            return ENDED
        return f"ended by itself; it is {entries.get('state')}"

    def _is_unstarted(self, entries: Mapping[str, Any]) -> bool:
        """Whether a run that was prepared is not started; then nobody starts it any more."""
        return (
            self.base.study.is_local
            and is_here(entries)
            and not is_followed(entries)
            and claim_of(self.base.study, entries) is None
            and take_claim(self.base.study, entries)
        )

    def _fail(self, entries: Any) -> None:
        for name in (CANCELLED_BY, "retry_at"):
            entries.pop(name, None)
        entries.update({"state": FAILED, "ended_state": FAILED, "failure_reason": self._reason})

    def _record(self, entries: Any) -> None:
        directory = directory_of(self.base.study, entries)
        code = None if directory is None else read_exit(directory, attempt_of(entries))
        if is_followed(entries):
            entries.update({"batch_name": None, "batch_state": "CANCELLED"})
        end = End(code, self._reason, tail(stderr_path(entries)), final=True)
        entries.pop(CANCELLED_BY, None)
        entries.update(settle(entries, end, policy=Policy(), now=time.time()))

    def state_of_left(self) -> dict[int, str]:
        """The states of those that have not ended, as they were seen last."""
        runs = self.base.runs.entries
        return {number: str(runs[number].entries.get("state")) for number in self.left}

    def is_ours(self, living: Collection[str]) -> bool:
        """Whether no launcher ends the runs: none of the living daemons can."""
        study = self.base.study
        served = isinstance(self.base.db.storage, PatientStorage)
        return study.is_local and not (served and f"launcher:{study.name}" in living)

    def end_here(self) -> None:
        """End the processes of those that run on this host, and record it."""
        runs, study = self.base.runs.entries, self.base.study
        here = {n: runs[n].entries for n in self.left if is_here(runs[n].entries)}
        jobs = {n: entries for n, entries in here.items() if is_followed(entries)}
        self._ended_here |= end_jobs(study, jobs)
        claims = {n: claim_of(study, each) for n, each in here.items() if n not in jobs}
        end_processes([claim for claim in claims.values() if claim is not None], KILL_GRACE_S)
        self._ended_here |= {n for n, claim in claims.items() if not (claim and members(claim))}
        self.look()


async def until_ended(
    config: WorkflowConfig, cancellations: Sequence[Cancellation], patience: float
) -> None:
    """Wait until all runs have ended, at most some seconds; those without a launcher are ended.

    Sleeps on the bus, if there is one.
    """
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        waiter = None
        if (runtime := locate(config)) is not None:
            waiter = stack.enter_context(await _listening(runtime, cancellations))
        told = time.monotonic()
        while True:
            again = time.monotonic() - told >= TELL_AGAIN_S
            told = time.monotonic() if again else told
            living = {each.name for each in control.living_daemons(control.records(config))}
            for each in cancellations:
                if each.left:
                    each.look(again=again)
                if each.left and each.is_ours(living):
                    each.end_here()
            left = deadline - time.monotonic()
            if left <= 0 or not any(each.left for each in cancellations):
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
    bases = {each.base.study.name: each.base for each in cancellations}
    dispatcher = Dispatcher(runtime, bases, lambda study: bases[study].tid)
    # Without a bus its safety net will do: the own connections are told of commits, too.
    with contextlib.suppress(NoSupervisor, TimeoutError):
        async with asyncio.timeout(LIVE_S):
            await dispatcher.live()
    runs = [(each.base.study.name, number) for each in cancellations for number in each.left]

    @contextlib.contextmanager
    def listening() -> Iterator[Waiter]:
        try:
            with dispatcher.waiting(Interest(runs=runs)) as waiter:
                yield waiter
        finally:
            dispatcher.close()

    return listening()


async def _news_of(cancellations: Sequence[Cancellation], pause: float) -> None:
    """Sleep until one of the bases' own connections is told of a commit: asks no server."""
    deadline = time.monotonic() + pause
    before = [each.base.tid for each in cancellations]
    while time.monotonic() < deadline and before == [each.base.tid for each in cancellations]:
        await asyncio.sleep(POLL_S)
