"""Submitting a study's runs: those that are alike together, in packs and arrays."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from motoko.batch import job_names
from motoko.batch.batch_system import (
    ArrayLimits,
    BatchSystem,
    JobRefused,
    QueueFull,
    Scheduler,
    SchedulerSilent,
    WrongOption,
)
from motoko.host.files import write_atomically
from motoko.host.machine_troubles import passes
from motoko.runs import job_script, packed_warm, packs
from motoko.runs.ends import End
from motoko.runs.warm_start import imports_of
from motoko.workers.launcher import submission, submission_times
from motoko.workers.launcher.allowance import Allowance
from motoko.workers.launcher.batch_run import BatchRun
from motoko.workers.launcher.gathering import Gathering
from motoko.workers.launcher.submission import Built

log = logging.getLogger(__name__)

# A job stays in the queue for a moment after its run has recorded its end.
LEAVING_S = 2.0
# How long to wait before trying again after the scheduler took no more jobs.
FULL_S = 30.0

Outcome = End | Mapping[str, Any]
"""A run's end, or what its entries must say."""

Job = Sequence[BatchRun]
"""The runs of one job, or of one element of an array, by number: several if it is a pack."""


class Submitter:
    """Decides which runs are submitted next, and submits them.

    Args:
        directories: the workflow's directories for batch jobs and for its channel.
        spool: where the study's jobs say that they have begun or ended.
        system: the batch system; scheduler: takes the submissions.
        new_name: makes a name that no submission has had, of a run and its attempt.
        arrays: whether runs that are alike may be one array.

    Attributes:
        queue: the runs to be submitted.
        gathering: says how long they wait for others.
    """

    def __init__(
        self,
        directories: tuple[Path, Path],
        spool: Path,
        system: BatchSystem,
        scheduler: Scheduler,
        new_name: Callable[[int, int], str],
        *,
        arrays: bool = False,
    ) -> None:
        self.queue: deque[BatchRun] = deque()
        self.gathering = Gathering()
        self._times = directories[0] / f"submitted-{spool.name}.json"
        self.gathering.submitted = submission_times.read(self._times)
        self._allowance = Allowance()
        self._others = 0  # how many runs of the study do not wait
        self._jobs = 0  # how many jobs it has in the scheduler's queue
        self._left: dict[str, float] = {}  # names of jobs, and when a run of theirs has ended
        self._directories = directories
        self._spool = spool
        self._system = system
        self._scheduler = scheduler
        self._new_name = new_name
        self._takes_arrays = arrays and bool(system.shell_variables.element)
        self._limits: ArrayLimits | None = None  # known once there was reason to make an array
        self._script: Path | None = None  # written for the first job
        self._held = 0.0  # if set, nothing is submitted before an answer asked for after this time
        self._full_until = 0.0

    def add(self, run: BatchRun) -> None:
        """Add a run to the queue; it is submitted once no more runs arrive."""
        self.gathering.come(time.monotonic(), is_first=not self.queue)
        self.queue.append(run)

    def take_up(self, run: BatchRun) -> None:
        """Add a run of an earlier launcher, if that has certainly not submitted it.

        The file of a pack is written before its job is submitted. Raises ``OSError``.
        """
        if run.is_unsubmitted and isinstance(built := self._built(run), Built) and built.pack:
            self.add(run)

    def count(self, runs: Collection[BatchRun]) -> None:
        """Count what goes on while runs wait: of all of the study's runs."""
        if self.queue:
            since = time.monotonic() - LEAVING_S
            self._left = {name: at for name, at in self._left.items() if at > since}
            waiting = {run.followed.name for run in self.queue}
            names = {run.followed.name for run in runs} - waiting
            self._others = len(runs) - len(self.queue)
            self._jobs = len(names | self._left.keys())

    def leave(self, run: BatchRun) -> None:
        """A run has ended, and so has its job, or that will if it was the last one of a pack."""
        if run.followed.job is not None:
            self._left[run.followed.name] = time.monotonic()

    @property
    def opens_at(self) -> float:
        """When (``time.monotonic``) the next run may be submitted, as far as that is known."""
        gathered = self.gathering.opens_at(self.queue, self._others, arrays=self._takes_arrays)
        return max(gathered, self._full_until)

    @property
    def is_open(self) -> bool:
        """Whether the next run may be submitted now."""
        now = time.monotonic()
        if not self.queue or self._held or now < self.opens_at:
            return False
        return self._allowance.room(self._jobs, self._wanted, now) > 0

    @property
    def _wanted(self) -> int:
        """How many jobs the runs that wait will be."""
        pack = self.queue[0].policy.pack if self.queue else None
        return -(-len(self.queue) // pack.runs) if pack is not None else len(self.queue)

    def answered(self, asked: float) -> None:
        """The scheduler has answered what it was asked at a time (``time.monotonic``)."""
        if asked > self._held:
            self._held = 0.0

    async def submit(self) -> Mapping[BatchRun, Outcome]:
        """Submit the first run of the queue, with those that may be in a pack or array with it.

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
        jobs = self._alike(first, built)
        written = self._write_packs(jobs)
        runs = list(chain(*jobs))
        if written and len(runs) == len(self.queue):
            # Whoever kills this launcher now does not make the next one forget it.
            submission_times.write(self._times, self.gathering.after(runs, time.monotonic()))
        for run in runs:
            self.queue.remove(run)
        return await self._submit(jobs, written)

    async def _ask_for_limits(self) -> None:
        """Ask which arrays the scheduler takes. Without an answer nothing is submitted for now."""
        try:
            self._limits = await self._scheduler.array_limits()
            if self._limits.jobs is not None:
                self._allowance.learn(self._limits.jobs)
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

    def _alike(self, first: BatchRun, built: Built) -> Sequence[Job]:
        """The first run of the queue, and those that may be in a pack or an array with it."""
        limits = self._limits if self._takes_arrays else None
        if built.likeness is None or (limits is None and built.pack is None):
            return [[first]]
        alike = []
        for run in self.queue:
            other = self._built(run)
            if isinstance(other, Built) and other.likeness == built.likeness:
                alike.append(run)
        alike.sort(key=lambda run: run.run_id)
        if built.pack is not None:
            size = built.pack.runs
            packed = [alike[start : start + size] for start in range(0, len(alike), size)]
            # The indices of packs are in a row.
            return packed[: self._most_of(min(limits.elements, limits.span)) if limits else 1]
        assert limits is not None
        if first.run_id - alike[0].run_id >= limits.span:
            # Runs with lower numbers are submitted later.
            alike = [run for run in alike if run.run_id >= first.run_id]
        within = [[run] for run in alike if run.run_id < alike[0].run_id + limits.span]
        return within[: self._most_of(limits.elements)]

    def _most_of(self, limit: int) -> int:
        """How many elements an array may have now, of which the scheduler takes so many."""
        room = self._allowance.room(self._jobs, self._wanted, time.monotonic())
        return max(1, min(limit, room))

    def _write_packs(self, jobs: Sequence[Job]) -> Sequence[str]:
        """Write the files of packs that are about to be submitted; their names, if they are."""
        first = jobs[0][0]
        if first.built is None or first.built.pack is None:
            return []
        name = self._new_name(first.run_id, first.followed.attempt)
        names, warm = [], self._warm_line(first)
        for index, job in enumerate(jobs):
            names.append(job_names.of_element(name, index))
            members = {run.run_id: run.followed.name for run in job}
            packs.write(first.directory.parent, names[-1], members, warm=warm)
        return names

    @staticmethod
    def _warm_line(run: BatchRun) -> str:
        """What the file of a pack says of warm runs, for which its job needs these programs."""
        if not run.policy.is_warm:
            return ""
        folder = packs.folder(run.directory.parent)
        folder.mkdir(exist_ok=True)
        for name in packed_warm.FILES:
            text = (Path(__file__).parent / name).read_text()
            if not (folder / name).exists() or (folder / name).read_text() != text:
                write_atomically(folder / name, text)
        return packed_warm.line(*imports_of(run.directory, run.policy.preload))

    async def _submit(
        self, jobs: Sequence[Job], names: Sequence[str]
    ) -> Mapping[BatchRun, Outcome]:
        """Submit jobs that are alike, by number; runs that find no room are put back.

        ``names``: the jobs' names, if they are packs.
        """
        runs = list(chain(*jobs))
        first, is_array = runs[0], len(jobs) > 1
        built = {job[0].run_id: job[0].built for job in jobs if job[0].built is not None}
        if names:
            what = submission.of_packs(built[first.run_id], names[0], len(jobs))
        else:
            what = submission.array(built) if is_array else built[first.run_id].alone
        shown = f"run {first.run_id}"
        if len(runs) > 1:
            shown = f"{len(runs)} runs from {first.run_id} to {runs[-1].run_id}"
        try:
            number = await self._scheduler.submit(what)
        except JobRefused as error:
            log.warning("%s: %s", shown, error)
            self._drop(first, names)
            if is_array:
                return await self._submit_without_array(jobs)
            # It would be refused again.
            return dict.fromkeys(runs, End(reason=str(error), final=True))
        except QueueFull as error:
            self._drop(first, names)
            self.queue.extendleft(reversed(runs))
            now = time.monotonic()
            self._allowance.refused(self._jobs + len(jobs), now)
            if is_array and self._allowance.most(now) < self._jobs + len(jobs):
                log.warning("%s: %s: fewer are tried", shown, error)
                return {}
            log.warning("%s: %s: tried again in %g s", shown, error, FULL_S)
            self._full_until = now + FULL_S
            return {run: {"batch_state": f"not submitted yet: {error}"} for run in runs}
        except SchedulerSilent as error:
            # The jobs may be queued all the same: only the scheduler's later answers can tell.
            log.warning("%s: %s: looking for its job in the queue", shown, error)
            self._held = time.monotonic()
            return self._followed(jobs, names, None, self._held)
        log.info("%s: submitted as job %s", shown, number)
        self._jobs += len(jobs)
        self._allowance.accepted(self._jobs)

        ids = [f"{number}_{index}" for index in what.elements] if is_array else [number]
        return self._followed(jobs, names, ids, time.monotonic())

    def _followed(
        self,
        jobs: Sequence[Job],
        names: Sequence[str],
        ids: Sequence[str] | None,
        since: float,
    ) -> Mapping[BatchRun, Outcome]:
        """Note that jobs are submitted, or may be; ``ids``: their ids, if these are known."""
        self.gathering.gone(list(chain(*jobs)), since, are_all=not self.queue)
        outcomes: dict[BatchRun, Outcome] = {}
        for index, job in enumerate(jobs):
            number = ids[index] if ids is not None else None
            for run in job:
                run.follow(since=since, job=number, pack=names[index] if names else "")
                entries: dict[str, Any] = {"batch_name": run.followed.name} if names else {}
                if number is not None:
                    entries |= {"batch_job_id": number, "batch_state": "PENDING"}
                outcomes[run] = entries
        return outcomes

    @staticmethod
    def _drop(first: BatchRun, names: Iterable[str]) -> None:
        """Remove the files of packs of which nothing was queued."""
        for name in names:
            with contextlib.suppress(OSError):
                packs.remove(first.directory.parent, name)

    async def _submit_without_array(self, jobs: Sequence[Job]) -> Mapping[BatchRun, Outcome]:
        """After the refusal of an array: try its first job alone, to see if that is accepted."""
        first, *others = jobs
        try:
            names = self._write_packs([first])
        except OSError:
            self.queue.extendleft(reversed(list(chain(*jobs))))
            raise
        outcomes = await self._submit([first], names)
        end = outcomes.get(first[0])
        if isinstance(end, End):
            return dict.fromkeys(chain(*jobs), end)
        self.queue.extend(chain(*others))
        if first[0].followed.job is not None:
            title = self._system.title
            log.warning("%s takes no such arrays: each is a job of its own", title)
            self._takes_arrays = False
        return outcomes
