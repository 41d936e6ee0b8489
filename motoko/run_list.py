"""``await`` on runs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

from motoko.dispatch import Interest
from motoko.errors import RunFailed, WorkflowStopped
from motoko.run_output import stderr_path, tail
from motoko.states import FINISHED, RUNNING_STATES, WAITING_STATES, Outcome, outcome

if TYPE_CHECKING:
    from BlackDynamite.job import JobZEO
    from BlackDynamite.run_zeo import RunZEO

    from motoko.dispatch import RunKey, Waiter
    from motoko.task_manager import TaskManager


SHOWN = 4
_UNDER_WAY = WAITING_STATES | RUNNING_STATES


class RunList:
    """Runs that can be awaited until all of them have FINISHED.

    ``await run_list`` saves pending changes, sleeps until every run has reached FINISHED (it may
    have moved on since) and returns the pairs. It raises ``RunFailed`` as soon as one of them has
    failed for good, and ``WorkflowStopped`` if the workflow is stopped meanwhile. It may be
    awaited more than once, by several coroutines, and be cancelled.

    Iterating, ``len`` and indexing work on the pairs, which are also in ``runs``.

    Args:
        runs: ``(run, job)`` pairs, as selections give them too; of one study or of several.
    """

    def __init__(self, runs: list[tuple[RunZEO, JobZEO]]) -> None:
        self.runs = runs

    def __iter__(self) -> Iterator[tuple[RunZEO, JobZEO]]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    @overload
    def __getitem__(self, index: int) -> tuple[RunZEO, JobZEO]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[RunZEO, JobZEO]]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self.runs[index]

    def __repr__(self) -> str:
        names = [f"{_manager(run).study}.{run.entries['id']}" for run, _ in self.runs[:SHOWN]]
        more = len(self.runs) - SHOWN
        return f"RunList({', '.join(names)}{f', and {more} more' if more > 0 else ''})"

    def __await__(self) -> Generator[Any, None, list[tuple[RunZEO, JobZEO]]]:
        return self._wait().__await__()

    async def _wait(self) -> list[tuple[RunZEO, JobZEO]]:
        from motoko.bd.session import session

        # First of all: saving may put other objects into the list.
        session().commit()
        if not self.runs:
            return self.runs
        managers = {_manager(run).study: _manager(run) for run, _ in self.runs}
        for study, manager in managers.items():
            manager.base.load([run for run, _ in self.runs if _manager(run).study == study])
        workflow = next(iter(managers.values())).workflow
        dispatcher = await workflow._execution.attached()
        pending = {_key(run): run for run, _ in self.runs}
        with dispatcher.waiting(Interest(runs=pending), what=repr(self)) as waiter:
            for manager in managers.values():
                session().refresh(manager.base)
            await self._settle(pending, waiter, list(pending), set())
            while pending:
                news = await waiter.wait()
                if waiter.stopped:
                    raise WorkflowStopped("the workflow was stopped while waiting for runs")
                concerned = list(pending) if waiter.read_again else []
                waiter.read_again = False
                # That a run has got on its way ends no wait, and is not worth a look.
                telling = [change for change in news if change.new not in _UNDER_WAY]
                for study in {change.study for change in telling}:
                    tid = max(change.tid for change in telling if change.study == study)
                    session().refresh(managers[study].base, bytes.fromhex(tid))
                if concerned and not telling:
                    for manager in managers.values():
                        session().refresh(manager.base)
                concerned += [(change.study, change.run_id) for change in telling]
                passed = {(c.study, c.run_id) for c in telling if c.new == FINISHED}
                for study, manager in managers.items():
                    found = [pending.get(key) for key in concerned if key[0] == study]
                    manager.base.load([run for run in found if run is not None])
                await self._settle(pending, waiter, concerned, passed)
        return self.runs

    async def _settle(
        self,
        pending: dict[RunKey, RunZEO],
        waiter: Waiter,
        concerned: Iterable[RunKey],
        passed: set[RunKey],
    ) -> None:
        """Wait no more for the runs that have ended; ``RunFailed`` if one has failed."""
        for key in concerned:
            run = pending.get(key)
            if run is None:
                continue
            found = outcome(run.entries)
            if found is Outcome.FAILED and key not in passed:
                await self._failed(run)
            elif found is Outcome.FINISHED or key in passed or _has_moved_on(run):
                del pending[key]
                _manager(run).workflow._execution.dispatcher.forget(waiter, key)

    async def _failed(self, run: RunZEO) -> None:
        """Let error handlers and actions act first; then raise, if the run is still failed."""
        workflow = _manager(run).workflow
        await workflow._execution.handle_failure()
        if outcome(run.entries) is Outcome.FAILED and workflow.on_failure == "raise":
            raise failure(run)


def failure(run: RunZEO) -> RunFailed:
    """The error that tells why a run has failed."""
    entries = run.entries
    study = _manager(run).study
    state = str(entries.get("state"))
    return RunFailed(
        study,
        entries["id"],
        state,
        str(entries.get("failure_reason") or "no reason was recorded"),
        run_path=entries.get("run_path"),
        stderr=tail(stderr_path(entries)),
        hint=f"when the cause is mended, `motoko retry {study}.{entries['id']}` runs it again",
    )


def _has_moved_on(run: RunZEO) -> bool:
    """Whether a run in a state of the user's own was FINISHED, though nobody has recorded it."""
    entries = run.entries
    state = entries.get("state")
    if state in WAITING_STATES or state in RUNNING_STATES or entries.get("ended_state"):
        return False
    from motoko.bd.history import has_been

    return has_been(run, FINISHED)


def _manager(run: RunZEO) -> TaskManager:
    manager: TaskManager = run.base.task_manager
    return manager


def _key(run: RunZEO) -> RunKey:
    return _manager(run).study, run.entries["id"]
