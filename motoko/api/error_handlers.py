"""Error handlers: called once for each run that fails, before anybody's await raises."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from motoko.api.actions import Action, in_handler, selected, signature
from motoko.api.failures import given_runs
from motoko.api.run_list import failure
from motoko.api.task_manager import TaskManager
from motoko.errors import MotokoError
from motoko.runs.entries import OwnEntries

# A failure: the handler's task and name, the study; of a run its number and attempt besides.
Failure = tuple[Any, ...]
FEWEST = 3  # parts of one that is no run's


class Handled:
    """The failures that handlers have been called for. It outlives an execution.

    Attributes:
        runs: the studies and ids of the runs among them.
    """

    def __init__(self) -> None:
        self.runs: set[tuple[str, int]] = set()
        self._failures: set[Failure] = set()

    def add_new(self, action: Action, manager: TaskManager, result: Any) -> set[Failure]:
        """Note what a condition gives; returns what was not noted before."""
        if signature(result) is None:
            return set()
        new = _failures(action, manager, result) - self._failures
        self._failures |= new
        self.runs |= {failure[2:4] for failure in new if len(failure) > FEWEST}
        return new


class ErrorHandling:
    """Calls the error handlers in one execution: nobody's await raises while one is at work.

    Args:
        handlers: what is registered, also later.
        handled: what they need not be called for again.

    Belongs to the running loop.
    """

    def __init__(self, handlers: Mapping[Any, Action], handled: Handled) -> None:
        self._handlers = handlers
        self._handled = handled
        self._lock = asyncio.Lock()

    async def check(self) -> None:
        """Call the handlers for what has failed since the last check.

        Raises ``RunFailed`` (or ``MotokoError``, for conditions that select no runs) if it is
        still so afterwards: a failure that nobody mends ends the workflow.
        """
        if in_handler():
            await self._check()  # whoever has called this handler may hold the lock
        else:
            async with self._lock:
                await self._check()

    async def _check(self) -> None:
        from motoko.store.session import session

        for action in list(self._handlers.values()):
            for manager in action.managers:
                result = action.evaluate(manager)
                new = self._handled.add_new(action, manager, result)
                if new:
                    await action.fire(manager, result)
                    session().commit()
                    _raise_if_still(action, manager, new)


def _raise_if_still(action: Action, manager: TaskManager, new: set[Failure]) -> None:
    result = action.evaluate(manager)
    if signature(result) is None:
        return
    runs = given_runs(selected(result))
    if runs is None:
        raise MotokoError(f"workflow terminated abnormally: {action.name} is true")
    for run in runs:
        if _failure(action, manager, run) in new:
            raise failure(run)


def _failures(action: Action, manager: TaskManager, result: Any) -> set[Failure]:
    runs = given_runs(selected(result))
    if runs is None:
        return {(action.task, action.name, manager.study)}
    return {_failure(action, manager, run) for run in runs}


def _failure(action: Action, manager: TaskManager, run: Any) -> Failure:
    attempt = OwnEntries(run.entries).attempt
    return action.task, action.name, manager.study, run.id, attempt
