"""All executors of a launcher: whom new runs go to, and those that earlier ones were given to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from motoko.batch import registry
from motoko.config import StudyConfig
from motoko.runs.entries import OwnEntries
from motoko.workers.daemon import Daemon
from motoko.workers.launcher.batch_executor import BatchExecutor
from motoko.workers.launcher.executor import Event, Executor
from motoko.workers.launcher.local_executor import LocalExecutor
from motoko.workers.launcher.recovery import Situation
from motoko.workers.launcher.slots import Slots


class Executors:
    """The executors of one launcher. What runs is looked after wherever it was started.

    Args:
        daemon: the launcher.
        study: its study.
        slots: the workflow's.
        generator: whom runs are handed to, in place of what motoko.yaml says.
        report: called with what becomes of runs.

    Attributes:
        chosen: whom new runs are handed to.
        local: this host.
    """

    def __init__(
        self,
        daemon: Daemon,
        study: StudyConfig,
        slots: Slots,
        generator: str | None,
        report: Callable[[Event], None],
    ) -> None:
        self._daemon = daemon
        self._study = study.name
        self._report = report
        self._batch: dict[str, BatchExecutor] = {}
        self._tasks: list[asyncio.Task[None]] | None = None  # once they are watched
        self._name = registry.generator(generator or study.generator)
        self.local = LocalExecutor(slots, report)
        self.chosen: Executor = self._named(self._name)

    def __iter__(self) -> Iterator[Executor]:
        return iter([self.local, *self._batch.values()])

    def of(self, run_id: int) -> Executor | None:
        """Who has a run, or has it prepared."""
        return next((e for e in self if run_id in e or run_id in e.ahead.runs), None)

    @property
    def runs(self) -> list[int]:
        """The runs that they have, and those that are prepared."""
        return [number for executor in self for number in (*executor, *executor.ahead.runs)]

    def adopt(self, situation: Situation) -> None:
        """Follow a run that an earlier launcher has started, if it is one, where that was.

        Raises ``UnknownSystem`` for a job of a batch system that is not there.
        """
        job = situation.job or situation.reset
        name = registry.LOCAL if job is None else OwnEntries(job).batch_system
        self._named(name or registry.SYSTEMS[0].name).adopt(situation)

    def _named(self, name: str) -> Executor:
        if name == registry.LOCAL:
            return self.local
        if name not in self._batch:
            # The limit is for those that are submitted now; with none of them, for what is left.
            counts = self._name in (name, registry.LOCAL)
            limit = self._daemon.config.batch.max_submitted if counts else None
            system = registry.named(name)
            self._batch[name] = BatchExecutor(
                self._daemon, self._study, system, self._report, limit
            )
            if self._tasks is not None:
                self._watch_one(self._batch[name])
        return self._batch[name]

    # What they do from time to time

    def watch(self) -> None:
        """From now on they do what is to be done. A fault of theirs is one of the loop's."""
        self._tasks = []
        for executor in self:
            self._watch_one(executor)

    def _watch_one(self, executor: Executor) -> None:
        assert self._tasks is not None
        task = asyncio.get_running_loop().create_task(executor.watch())
        task.add_done_callback(_raise_fault)
        self._tasks.append(task)

    def leave(self) -> None:
        """Do nothing more from time to time."""
        for task in self._tasks or ():
            task.cancel()

    # What `motoko ps` shows

    @property
    def detail(self) -> str:
        """A few words about jobs, if there are any, or are to be."""
        return "".join(e.detail for e in self if len(e) or e is self.chosen)

    @property
    def counts(self) -> dict[str, int]:
        """Figures about jobs, likewise."""
        shown = [e.counts for e in self if len(e) or e is self.chosen]
        names = dict.fromkeys(name for counts in shown for name in counts)
        return {name: sum(counts.get(name, 0) for counts in shown) for name in names}


def _raise_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        raise fault
