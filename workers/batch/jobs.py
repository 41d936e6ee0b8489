"""What a launcher has to do with batch jobs: which runs become some, and what is kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from motoko.batch_settings import LOCAL, SLURM
from motoko.config import StudyConfig
from motoko.policy import Policy
from motoko.states import WAITING_STATES
from motoko.workers.batch.commands import Commands
from motoko.workers.batch.polling import SharedPoll, read
from motoko.workers.batch.room import Room
from motoko.workers.batch.runs import BatchRuns, Report
from motoko.workers.batch.slurm import Slurm
from motoko.workers.batch.submission import Names
from motoko.workers.daemon import Daemon
from motoko.workers.ends import End
from motoko.workers.preparing import Prepared

# A job is in the queue for a moment after its last word.
LEAVING_S = 2.0


@dataclass(frozen=True)
class JobIntent:
    """A run that is to be submitted once its entries, which say so, are committed."""

    entries: Mapping[str, Any]
    policy: Policy


class Jobs:
    """The batch jobs of one launcher.

    Args:
        daemon: the launcher.
        study: its study.
        generator: what runs are handed to, in place of what motoko.yaml says.
        changed, ended: what is told of them: see :class:`motoko.workers.batch.runs.Report`.

    Attributes:
        wanted: whether new runs become jobs. Those that are some already are followed anyhow.
        runs: those that are.
    """

    def __init__(
        self,
        daemon: Daemon,
        study: StudyConfig,
        generator: str | None,
        changed: Callable[[int, Mapping[str, Any]], None],
        ended: Callable[[int, End], None],
    ) -> None:
        config = daemon.config
        self._study = study.name
        self.wanted = (generator or study.generator).removesuffix("Coat") != LOCAL
        directory = daemon.runtime.wf / "batch"
        self._names = Names(config.path)
        self._commands = Commands()
        self._path = directory / f"{SLURM}.json"
        system = Slurm(self._commands)
        poll = SharedPoll(self._path, system, config.batch.poll_interval, self._names.are_ours)
        self._ended = ended
        report = Report(changed, self._one_ended)
        self.runs = BatchRuns(study.name, directory, system, poll, report)
        self._room = Room(directory, study.name, [*config.studies], config.batch.max_submitted)
        self._promised = 0  # of those that the pass being made may submit
        self._short = False  # some wait for room
        self._leaving = 0  # jobs that have said that they end, a moment ago

    def room(self, wanted: int) -> int:
        """How many of the runs that wait may be submitted now; they are counted as such."""
        self._promised = self._room.take(len(self.runs) + self._leaving, wanted)
        self._short = self._promised < wanted
        return self._promised

    def passed(self) -> None:
        """A pass is over: what was promised and not submitted is free again."""
        self._promised = 0
        self._note()

    def _one_ended(self, number: int, end: End) -> None:
        if self._room.is_limited:
            self._leaving += 1
            asyncio.get_running_loop().call_later(LEAVING_S, self._one_left)
        self._note()
        self._ended(number, end)

    def _one_left(self) -> None:
        self._leaving -= 1
        self._note()

    def _note(self) -> None:
        mine = len(self.runs) + self._leaving + self._promised
        self._room.note(mine, waiting=self._short)

    def intend(
        self, entries: MutableMapping[str, Any], prepared: Prepared, before: JobIntent | None
    ) -> JobIntent:
        """Write into a run's entries that it is to be submitted, and under which name."""
        name = before.entries["batch_name"] if before else None
        if name is None or entries.get("batch_name") != name:
            name = self._names.new(self._study, prepared.run_id, prepared.attempt)
        entries.update(
            {
                "batch_system": SLURM,
                "batch_name": name,
                "batch_attempt": prepared.attempt,
                "batch_job_id": None,
                "batch_state": "submitting",
                "batch_nodes": None,
            }
        )
        return JobIntent({**entries}, prepared.policy)

    def submit(self, intent: JobIntent) -> None:
        """Submit a run, whose intent is committed. A job that it had before is nobody's."""
        self.forget(intent.entries["id"])
        self.runs.submit(intent.entries, intent.policy)

    def adopt(
        self, entries: MutableMapping[str, Any], policy: Callable[[Mapping[str, Any]], Policy]
    ) -> bool:
        """Follow a run that a predecessor has submitted; whether it is one."""
        if not entries.get("batch_name"):
            return False
        self.runs.adopt(entries, policy(entries))
        if entries.get("state") in WAITING_STATES:
            # Somebody has reset it: it waits again, and its job is nobody's.
            self.forget(entries["id"])
            entries["batch_name"] = None
            return False
        return True

    def forget(self, run_id: int) -> None:
        """The job of a run, if it has one, is nobody's any more."""
        if run_id in self.runs:
            self.runs.forget(run_id)

    @property
    def counts(self) -> dict[str, int]:
        """Figures for ``motoko ps``."""
        if not (self.wanted or len(self.runs)):
            return {}
        return {
            "jobs": len(self.runs),
            "to_submit": self.runs.waiting,
            "scheduler_commands": self._commands.counts.total(),
            "scheduler_queries": self._commands.counts["squeue"],
            "scheduler_queries_of_all": read(self._path).queries,
        }

    @property
    def detail(self) -> str:
        """A few words for ``motoko ps``; none if there are no jobs."""
        if not (self.wanted or len(self.runs)):
            return ""
        trouble = f"; no answer: {self.runs.trouble}" if self.runs.trouble else ""
        return f", {len(self.runs)} jobs{trouble}"
