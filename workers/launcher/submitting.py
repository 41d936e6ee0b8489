"""Submitting a study's runs: those that are alike together, if the scheduler takes arrays."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from motoko.batch.batch_system import (
    ArrayLimits,
    BatchSystem,
    JobRefused,
    QueueFull,
    Scheduler,
    SchedulerSilent,
    WrongOption,
)
from motoko.host.machine_troubles import passes
from motoko.runs import job_script
from motoko.runs.ends import End
from motoko.workers.launcher import submission
from motoko.workers.launcher.batch_run import BatchRun
from motoko.workers.launcher.submission import Built

log = logging.getLogger(__name__)

# How long to wait before trying again after the scheduler took no more jobs.
FULL_S = 30.0
# Runs that are created together arrive in parts. Submission waits until none has arrived for
# QUIET_S, and no longer than GATHER_S.
QUIET_S = 0.3
GATHER_S = 2.0

Outcome = End | Mapping[str, Any]
"""A run's end, or what its entries must say."""


class Submitter:
    """Decides which runs are submitted next, and submits them.

    Args:
        directories: the workflow's directories for batch jobs and for its channel.
        spool: where the study's jobs say that they have begun or ended.
        system: the batch system; scheduler: takes the submissions.
        arrays: whether runs that are alike may be one array.

    Attributes:
        queue: the runs to be submitted.
    """

    def __init__(
        self,
        directories: tuple[Path, Path],
        spool: Path,
        system: BatchSystem,
        scheduler: Scheduler,
        *,
        arrays: bool = False,
    ) -> None:
        self.queue: deque[BatchRun] = deque()
        self._directories = directories
        self._spool = spool
        self._system = system
        self._scheduler = scheduler
        self._takes_arrays = arrays and bool(system.shell_variables.element)
        self._limits: ArrayLimits | None = None  # known once there was reason to make an array
        self._most: int | None = None  # elements of an array: more were too many just now
        self._script: Path | None = None  # written for the first job
        self._held = 0.0  # if set, nothing is submitted before an answer asked for after this time
        self._full_until = 0.0
        self._came = self._began = 0.0  # when the last run of the queue came, and the first

    def add(self, run: BatchRun) -> None:
        """Add a run to the queue; it is submitted once no more runs arrive."""
        self._came = time.monotonic()
        if not self.queue:
            self._began = self._came
        self.queue.append(run)

    @property
    def opens_at(self) -> float:
        """When (``time.monotonic``) the next run may be submitted, as far as that is known."""
        gathered = 0.0
        if self._takes_arrays:
            gathered = min(self._came + QUIET_S, self._began + GATHER_S)
        return max(gathered, self._full_until)

    @property
    def is_open(self) -> bool:
        """Whether the next run may be submitted now."""
        return bool(self.queue) and not self._held and time.monotonic() >= self.opens_at

    def answered(self, asked: float) -> None:
        """The scheduler has answered what it was asked at a time (``time.monotonic``)."""
        if asked > self._held:
            self._held = 0.0

    async def submit(self) -> Mapping[BatchRun, Outcome]:
        """Submit the first run of the queue, with those that may be in one array with it.

        If the scheduler gives no answer, their jobs are looked for in its queue before they are
        submitted again. Raises ``OSError`` if files cannot be written or read now: the runs stay in
        the queue.
        """
        first = self.queue[0]
        if isinstance(built := self._built(first), End):
            self.queue.popleft()
            return {first: built}
        if self._takes_arrays and self._limits is None and len(self.queue) > 1:
            await self._ask_for_limits()
            return {}  # runs may have been cancelled meanwhile
        runs = self._alike(first, built)
        for run in runs:
            self.queue.remove(run)
        return await self._submit(runs)

    async def _ask_for_limits(self) -> None:
        """Ask which arrays the scheduler takes. Without an answer nothing is submitted for now."""
        try:
            self._limits = await self._scheduler.array_limits()
        except SchedulerSilent as error:
            log.warning("the scheduler does not say which arrays it takes: %s", error)
            self._held = time.monotonic()

    def _built(self, run: BatchRun) -> Built | End:
        """What is submitted for a run, or why nothing can be."""
        try:
            if self._script is None:
                self._script = job_script.write(*self._directories, self._system)
            if run.built is None:
                run.built = self._build(run, self._script)
        except WrongOption as error:
            return End(reason=f"launch.sh: {error}", final=True)
        except OSError as error:
            if self._script is None or passes(error):
                raise
            return End(reason=f"launch.sh: {error}", final=True)
        return run.built

    def _build(self, run: BatchRun, script: Path) -> Built:
        return submission.build(
            self._system,
            name=run.followed.name,
            run_id=run.run_id,
            attempt=run.followed.attempt,
            directory=run.directory,
            stem=run.stem,
            policy=run.policy,
            script=script,
            spool=self._spool,
        )

    def _alike(self, first: BatchRun, built: Built) -> Sequence[BatchRun]:
        """The first run of the queue, and those that may be in one array with it, by number."""
        if not self._takes_arrays or self._limits is None or built.likeness is None:
            return [first]
        alike = []
        for run in self.queue:
            other = self._built(run)
            if isinstance(other, Built) and other.likeness == built.likeness:
                alike.append(run)
        alike.sort(key=lambda run: run.run_id)
        span = self._limits.span
        least = alike[0].run_id
        if first.run_id - least >= span:
            least = first.run_id  # runs with lower numbers are submitted later
        within = [run for run in alike if least <= run.run_id < least + span]
        most = self._limits.elements
        return within[: most if self._most is None else min(most, self._most)] or [first]

    async def _submit(self, runs: Sequence[BatchRun]) -> Mapping[BatchRun, Outcome]:
        """Submit runs that are alike, ordered by number; runs that find no room are put back."""
        built = {run.run_id: run.built for run in runs if run.built is not None}
        first, is_array = runs[0], len(runs) > 1
        what = submission.array(built) if is_array else built[first.run_id].alone
        shown = f"run {first.run_id}"
        if is_array:
            shown = f"{len(runs)} runs from {first.run_id} to {runs[-1].run_id}"
        try:
            job = await self._scheduler.submit(what)
        except JobRefused as error:
            log.warning("%s: %s", shown, error)
            if is_array:
                return await self._submit_without_array(runs)
            return {first: End(reason=str(error), final=True)}  # it would be refused again
        except QueueFull as error:
            self.queue.extendleft(reversed(runs))
            if is_array:
                log.warning("%s: %s: fewer are tried", shown, error)
                self._most = len(runs) // 2
                return {}
            log.warning("%s: %s: tried again in %g s", shown, error, FULL_S)
            self._full_until = time.monotonic() + FULL_S
            self._most = None
            return {first: {"batch_state": f"not submitted yet: {error}"}}
        except SchedulerSilent as error:
            # The jobs may be queued all the same: only the scheduler's later answers can tell.
            log.warning("%s: %s: looking for its job in the queue", shown, error)
            self._held = time.monotonic()
            for run in runs:
                run.follow(since=self._held)
            return {run: {} for run in runs}
        log.info("%s: submitted as job %s", shown, job)
        if not self.queue:
            self._most = None
        outcomes: dict[BatchRun, Outcome] = {}
        for run in runs:
            number = f"{job}_{run.run_id - first.run_id}" if is_array else job
            run.follow(since=time.monotonic(), job=number)
            outcomes[run] = {"batch_job_id": number, "batch_state": "PENDING"}
        return outcomes

    async def _submit_without_array(self, runs: Sequence[BatchRun]) -> Mapping[BatchRun, Outcome]:
        """After the refusal of an array: try its first run alone, to see if that is accepted."""
        first, *others = runs
        outcomes = await self._submit([first])
        end = outcomes.get(first)
        if isinstance(end, End):
            return dict.fromkeys(runs, end)
        self.queue.extend(others)
        if first.followed.job is not None:
            log.warning("%s takes no such arrays: each run is a job of its own", self._system.title)
            self._takes_arrays = False
        return outcomes
