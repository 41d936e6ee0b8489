"""Submitting a study's runs, those that are alike together, as far as the scheduler takes them."""

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

# Until the scheduler that takes no more jobs is tried again.
FULL_S = 30.0
# Runs that are created together come in parts. Submission waits until none has come for so long,
# and no longer than this.
QUIET_S = 0.3
GATHER_S = 2.0

Outcome = End | Mapping[str, Any]
"""A run's end, or what its entries are to say."""


class Submitter:
    """Whose turn it is to be submitted, and doing it.

    Args:
        directories: the workflow's, for batch jobs and for its channel.
        spool: where the study's jobs say how they are.
        system: the batch system; scheduler: whom it is asked through.
        arrays: whether runs that are alike may be one array.

    Attributes:
        queue: the runs that are to be submitted.
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
        self._limits: ArrayLimits | None = None  # once there is an array
        self._most: int | None = None  # elements: more were too many just now
        self._script: Path | None = None  # once there is a job
        self._held = 0.0  # nothing is submitted until it has answered a later question
        self._full_until = 0.0
        self._came = self._began = 0.0  # when the last of the queue has come, and the first

    def add(self, run: BatchRun) -> None:
        """It is to be submitted, as soon as no more come."""
        self._came = time.monotonic()
        if not self.queue:
            self._began = self._came
        self.queue.append(run)

    @property
    def opens_at(self) -> float:
        """When (``time.monotonic``) the next one may be submitted, as far as that is known."""
        gathered = 0.0
        if self._takes_arrays:
            gathered = min(self._came + QUIET_S, self._began + GATHER_S)
        return max(gathered, self._full_until)

    @property
    def is_open(self) -> bool:
        """Whether the next one may be submitted now."""
        return bool(self.queue) and not self._held and time.monotonic() >= self.opens_at

    def answered(self, asked: float) -> None:
        """The scheduler has answered a question of that time (``time.monotonic``)."""
        if asked > self._held:
            self._held = 0.0

    async def submit(self) -> Mapping[BatchRun, Outcome]:
        """Submit the first of the queue, with those that may be in one array with it.

        If the scheduler gives no answer, their jobs are looked for in the queue first. Raises
        ``OSError`` if files cannot be written or read now: they are still to be submitted.
        """
        first = self.queue[0]
        if isinstance(built := self._built(first), End):
            self.queue.popleft()
            return {first: built}
        if self._takes_arrays and self._limits is None and len(self.queue) > 1:
            await self._ask_for_limits()
            return {}  # they may have been cancelled meanwhile
        runs = self._alike(first, built)
        for run in runs:
            self.queue.remove(run)
        return await self._submit(runs)

    async def _ask_for_limits(self) -> None:
        """What arrays the scheduler takes. Nothing is submitted while it does not say so."""
        try:
            self._limits = await self._scheduler.array_limits()
        except SchedulerSilent as error:
            log.warning("it is not known what arrays there may be: %s", error)
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
        """The first of the queue, and others that may be in one array with it, by number."""
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
            least = first.run_id  # it is the turn of those before it later
        within = [run for run in alike if least <= run.run_id < least + span]
        most = self._limits.elements
        return within[: most if self._most is None else min(most, self._most)] or [first]

    async def _submit(self, runs: Sequence[BatchRun]) -> Mapping[BatchRun, Outcome]:
        """Submit runs that are alike, by number; what is not submitted is put back."""
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
            return {first: End(reason=str(error), final=True)}  # it would be again
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
            # They may be queued all the same: only what the scheduler shows later tells.
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
        """Their array was refused: the first one's job tells whether that is because it was one."""
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
