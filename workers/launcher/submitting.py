"""Submitting the runs of a study, one after the other, as far as the scheduler takes them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motoko.batch.batch_system import (
    BatchSystem,
    JobRefused,
    QueueFull,
    Scheduler,
    SchedulerSilent,
    Submission,
    WrongOption,
)
from motoko.host.machine_troubles import passes
from motoko.runs import job_script
from motoko.runs.ends import End
from motoko.workers.launcher import submission
from motoko.workers.launcher.batch_run import BatchRun

log = logging.getLogger(__name__)

# Until the scheduler that takes no more jobs is tried again.
FULL_S = 30.0


class Submitter:
    """Whose turn it is to be submitted, and doing it.

    Args:
        directories: the workflow's, for batch jobs and for its channel.
        spool: where the study's jobs say how they are.
        system: the batch system; scheduler: whom it is asked through.

    Attributes:
        queue: the runs that are to be submitted.
    """

    def __init__(
        self,
        directories: tuple[Path, Path],
        spool: Path,
        system: BatchSystem,
        scheduler: Scheduler,
    ) -> None:
        self.queue: deque[BatchRun] = deque()
        self._directories = directories
        self._spool = spool
        self._system = system
        self._scheduler = scheduler
        self._script: Path | None = None  # once there is a job
        self._held = 0.0  # nothing is submitted until it has answered a later question
        self._full_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the next one may be submitted now."""
        return bool(self.queue) and not self._held and time.monotonic() >= self._full_until

    def answered(self, asked: float) -> None:
        """The scheduler has answered a question of that time (``time.monotonic``)."""
        if asked > self._held:
            self._held = 0.0

    async def submit(self, run: BatchRun) -> End | Mapping[str, Any]:
        """Submit a run; returns its end, or what its entries are to say.

        If the scheduler gives no answer, its job is looked for in the queue first. Raises
        ``OSError`` if files cannot be written or read now: it is still to be submitted.
        """
        try:
            if self._script is None:
                self._script = job_script.write(*self._directories, self._system)
            what = self._submission(run, self._script)
        except WrongOption as error:
            return End(reason=f"launch.sh: {error}", final=True)
        except OSError as error:
            if self._script is None or passes(error):
                self.queue.appendleft(run)
                raise
            return End(reason=f"launch.sh: {error}", final=True)
        try:
            job = await self._scheduler.submit(what)
        except JobRefused as error:
            log.warning("run %d: %s", run.run_id, error)
            return End(reason=str(error), final=True)  # it would be again
        except QueueFull as error:
            log.warning("run %d: %s: tried again in %g s", run.run_id, error, FULL_S)
            self._full_until = time.monotonic() + FULL_S
            self.queue.appendleft(run)
            return {"batch_state": f"not submitted yet: {error}"}
        except SchedulerSilent as error:
            # It may be queued all the same: only what the scheduler shows later tells.
            log.warning("run %d: %s: looking for its job in the queue", run.run_id, error)
            self._held = time.monotonic()
            run.follow(since=self._held)
            return {}
        log.info("run %d: submitted as job %s", run.run_id, job)
        run.follow(since=time.monotonic(), job=job)
        return {"batch_job_id": job, "batch_state": "PENDING"}

    def _submission(self, run: BatchRun, script: Path) -> Submission:
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
