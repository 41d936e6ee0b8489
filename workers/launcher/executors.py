"""All executors of a launcher: the one for new runs, and those that still have earlier runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

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
    """The executors of one launcher. Runs are looked after by the executor that started them.

    Args:
        daemon: the launcher.
        study: its study.
        slots: the workflow's slots.
        generator: the generator for new runs, in place of the one that motoko.yaml names.
        report: called with the events of runs.

    Attributes:
        chosen: the executor that gets new runs.
        local: the executor of this host.
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
        """The executor that has a run, or has it prepared."""
        return next((e for e in self if run_id in e or run_id in e.ahead.runs), None)

    def has(self, run_id: int) -> bool:
        """Whether an executor has a run, or has it prepared."""
        return self.of(run_id) is not None

    def is_ahead(self, run_id: int) -> bool:
        """Whether a run is prepared, and has not started: others may still change that."""
        return any(run_id in executor.ahead.runs for executor in self)

    @property
    def runs(self) -> list[int]:
        """The runs that the executors have, and those that are prepared."""
        return [number for executor in self for number in (*executor, *executor.ahead.runs)]

    @property
    def has_runs(self) -> bool:
        """Whether they have any, or any is prepared."""
        return any(len(executor) or executor.ahead.runs for executor in self)

    @property
    def present(self) -> tuple[Sequence[int], Sequence[int]]:
        """Those runs, and those whose final state other processes will set."""
        return self.runs, self.local.handed_over

    def adopt(self, situation: Situation) -> None:
        """Hand a run that an earlier launcher has started to the executor that it was started by.

        Raises ``UnknownSystem`` for a job of a batch system that is not there.
        """
        job = situation.job or situation.reset
        name = registry.LOCAL if job is None else OwnEntries(job).batch_system
        self._named(name or registry.SYSTEMS[0].name).adopt(situation)

    def _named(self, name: str) -> Executor:
        if name == registry.LOCAL:
            return self.local
        if name not in self._batch:
            # The limit counts for the batch system that gets new runs. If new runs are local, it
            # counts for each that still has jobs.
            counts = self._name in (name, registry.LOCAL)
            limit = self._daemon.config.batch.max_submitted if counts else None
            system = registry.named(name)
            self._batch[name] = BatchExecutor(
                self._daemon, self._study, system, self._report, limit
            )
            if self._tasks is not None:
                self._watch_one(self._batch[name])
        return self._batch[name]

    # Regular work

    def watch(self) -> None:
        """Have the executors do their regular work. Their faults go to the loop's handler."""
        self._tasks = []
        for executor in self:
            self._watch_one(executor)

    def _watch_one(self, executor: Executor) -> None:
        assert self._tasks is not None
        task = asyncio.get_running_loop().create_task(executor.watch())
        task.add_done_callback(_raise_fault)
        self._tasks.append(task)

    def leave(self) -> None:
        """End the regular work."""
        for task in self._tasks or ():
            task.cancel()

    # What `motoko ps` shows

    @property
    def detail(self) -> str:
        """A few words about jobs, if there are any, or new runs become jobs."""
        return "".join(e.detail for e in self if len(e) or e is self.chosen)

    @property
    def counts(self) -> dict[str, int]:
        """Figures about jobs, if there are any, or new runs become jobs."""
        shown = [e.counts for e in self if len(e) or e is self.chosen]
        names = dict.fromkeys(name for counts in shown for name in counts)
        return {name: sum(counts.get(name, 0) for counts in shown) for name in names}


def _raise_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        raise fault
