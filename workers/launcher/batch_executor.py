"""The executor that hands runs to a batch system, as jobs of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from motoko.batch.batch_system import BatchSystem
from motoko.batch.commands import Commands
from motoko.batch.job_names import Names
from motoko.batch.polling import SharedPoll, read
from motoko.batch.queue_room import Room
from motoko.config.policy import Policy
from motoko.layout import channel_directory
from motoko.runs.entries import OwnEntries
from motoko.runs.fences import fence
from motoko.runs.job_facts import GATHERED, PACKING, SUBMITTING
from motoko.workers.daemon import Daemon
from motoko.workers.launcher.ahead import Ahead
from motoko.workers.launcher.batch_run import BatchRun
from motoko.workers.launcher.batch_runs import BatchRuns
from motoko.workers.launcher.executor import Ended, Event, Place
from motoko.workers.launcher.preparing import Prepared
from motoko.workers.launcher.recovery import Situation
from motoko.workers.launcher.submitting import LEAVING_S, Submitter

# How many runs become jobs in one pass: a pass must not keep the launcher busy for long.
JOBS_AT_ONCE = 100
# Environment variables (in seconds) for the tests of batch jobs, which have their own scheduler.
POLL_VARIABLE = "MOTOKO_BATCH_POLL_S"
LATE_VARIABLE = "MOTOKO_BATCH_LATE_S"


@dataclass
class BatchStart:
    """A run that will be submitted as soon as the entries that say so are committed.

    Attributes:
        name: the name of its submission.
    """

    executor: BatchExecutor
    prepared: Prepared
    name: str
    _entries: Mapping[str, Any] = field(default_factory=dict)

    def mark(self, entries: MutableMapping[str, Any]) -> None:
        state = SUBMITTING
        if self.prepared.policy.is_packed:
            state = GATHERED if self.prepared.attempt > 1 else PACKING
        OwnEntries(entries).update(
            {
                "batch_system": self.executor.name,
                "batch_name": self.name,
                "batch_attempt": self.prepared.attempt,
                "batch_job_id": None,
                "batch_state": state,
                "batch_nodes": None,
            }
        )
        self._entries = {**entries}

    def begin(self) -> None:
        """Submit the run. If it had a job before, that job is cancelled."""
        self.executor.submit(self._entries, self.prepared.policy)

    def abandon(self) -> None:
        """Nothing to undo: nothing was submitted."""


class BatchExecutor:
    """The jobs of one study in one batch system: see ``executor.Executor``.

    Args:
        daemon: the launcher.
        study: its study.
        system: the batch system.
        report: called with the events of runs.
        limit: how many jobs all studies together may have in the queue; ``None``: any number.
    """

    is_ending = False
    widest = None

    def __init__(
        self,
        daemon: Daemon,
        study: str,
        system: BatchSystem,
        report: Callable[[Event], None],
        limit: int | None,
    ) -> None:
        self.name = system.name
        self.ahead = Ahead(0)
        self.is_short = False
        self._study = study
        self._system = system
        self._report = report
        directory = daemon.runtime.wf / "batch"
        spool = directory / "spool" / study
        self._names = Names(daemon.config.path)
        self._commands = Commands()
        self._path = directory / f"{system.name}.json"
        scheduler = system.scheduler(self._commands)
        settings = daemon.config.batch
        interval = _for_tests(POLL_VARIABLE, settings.poll_interval)
        poll = SharedPoll(self._path, scheduler, interval, self._names.are_ours)
        channel = channel_directory(daemon.runtime.directory)
        new_name = partial(self._names.fresh, study)
        self._submitter = Submitter(
            *((directory, channel), spool, system, scheduler, new_name),
            arrays=settings.arrays,
        )
        self._jobs = BatchRuns(
            *(spool, system, scheduler, poll, self._submitter, new_name),
            partial(fence, daemon.runtime.directory, study),
            self._reported,
            _for_tests(LATE_VARIABLE, settings.late_record),
        )
        pack = daemon.config.studies[study].policy.pack
        self._each = 1 if pack is None else pack.runs  # how many runs a job executes
        self._room = Room(directory, study, [*daemon.config.studies], limit)
        self._promised = 0  # how many jobs the present pass may submit
        self._leaving = 0  # jobs whose runs ended a moment ago

    def __len__(self) -> int:
        return len(self._jobs.runs)

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._jobs.runs))

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._jobs.runs

    @property
    def reach(self) -> int:
        return JOBS_AT_ONCE

    # Starting

    def room(self, widths: Sequence[int]) -> list[Place]:
        """Only the number of jobs counts here: a job's width is the scheduler's business."""
        if not widths and not self.is_short:
            return []
        wanted = _parts(len(widths), self._each)
        self._promised = self._room.take(self._count + self._leaving, wanted)
        self.is_short = self._promised < wanted
        return [[] for _ in range(min(self._promised * self._each, len(widths)))]

    def release(self, places: Sequence[Place]) -> None:
        self._promised = 0
        self._note()

    def proceed(self) -> None:
        """Nothing to do: no run is prepared ahead, since the scheduler has a queue of its own."""

    def expect(self, *, more: bool, next_at: float) -> None:
        self._submitter.gathering.expect(more=more, next_at=next_at)

    def attend(self) -> None:
        """Nothing to do, for the same reason."""

    def start(self, prepared: Prepared, place: Place) -> BatchStart:
        name = self._names.new(self._study, prepared.run_id, prepared.attempt)
        return BatchStart(self, prepared, name)

    def submit(self, entries: Mapping[str, Any], policy: Policy) -> None:
        """Submit a run whose intent is committed: its entries name the submission."""
        self.forget(entries["id"])
        run = self._jobs.runs[entries["id"]] = BatchRun.of(entries, policy)
        self._submitter.add(run)
        self._jobs.wake()

    def adopt(self, situation: Situation) -> None:
        """Follow a run that an earlier launcher has submitted, or was about to submit.

        If the run was reset since then, its job is cancelled.
        """
        entries = situation.job or situation.reset
        if entries is None or situation.run_id in self:
            return
        self._jobs.add(BatchRun.of(entries, situation.policy))
        if situation.reset is not None:
            self.forget(situation.run_id)

    # Ending

    def end(self, run_id: int, reason: str, *, final: bool = False) -> None:
        if (run := self._jobs.runs.get(run_id)) is not None:
            run.cancel(reason, final=final)
            self._jobs.wake()

    def forget(self, run_id: int) -> None:
        """Drop a run, and have its job cancelled if it has one."""
        self._jobs.drop(run_id)

    def stop(self, reason: str) -> None:
        """Nothing to do: jobs stay in their queue, and the next launcher follows them."""

    async def watch(self) -> None:
        await self._jobs.watch()

    # Counting

    def _reported(self, event: Event) -> None:
        if isinstance(event, Ended):
            if self._room.is_limited:
                self._leaving += 1
                asyncio.get_running_loop().call_later(LEAVING_S, self._one_left)
            self._note()
        self._report(event)

    def _one_left(self) -> None:
        self._leaving -= 1
        self._note()

    def _note(self) -> None:
        if not self._room.is_limited:
            return  # to count the jobs takes a while
        self._room.note(self._count + self._leaving + self._promised, waiting=self.is_short)

    @property
    def _count(self) -> int:
        """How many jobs there are, and will be of the runs that wait to be submitted."""
        if self._each == 1:
            return len(self)
        waiting = len(self._submitter.queue)
        names = {run.followed.name for run in self._jobs.runs.values()}
        of_waiting = {run.followed.name for run in self._submitter.queue}
        return len(names - of_waiting) + _parts(waiting, self._each)

    @property
    def counts(self) -> dict[str, int]:
        return {
            "jobs": self._count,
            "to_submit": len(self._submitter.queue),
            "scheduler_commands": self._commands.counts.total(),
            "scheduler_queries": self._commands.counts[self._system.query_command],
            "scheduler_queries_of_all": read(self._path).queries,
        }

    @property
    def trouble(self) -> str:
        return self._jobs.hindrance

    @property
    def detail(self) -> str:
        count = self._count
        words = [f"{count} jobs" if count == len(self) else f"{len(self)} runs in {count} jobs"]
        if self._jobs.silence:
            words.append(f"no answer: {self._jobs.silence}")
        if self._jobs.hindrance:
            words.append(f"jobs wait: {self._jobs.hindrance}")
        return f", {'; '.join(words)}"


def _parts(count: int, size: int) -> int:
    """How many parts of a size at most so many runs are."""
    return -(-count // size)


def _for_tests(variable: str, duration: float) -> float:
    return float(os.environ.get(variable, duration))
