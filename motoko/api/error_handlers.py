"""Error handlers: called once for each run that fails, before any await raises."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from motoko.api.actions import Action, in_handler, selected, signature
from motoko.api.failures import given_runs
from motoko.api.run_list import failure
from motoko.api.task_manager import TaskManager
from motoko.errors import AbnormalEnd
from motoko.runs.entries import OwnEntries

# A failure: the handler's task and name, and the study; for a run also its number and attempt.
Failure = tuple[Any, ...]
FEWEST = 3  # parts of a failure that is not a run's


class Handled:
    """The failures that handlers have been called for. It outlives an execution.

    Attributes:
        runs: the study and id of each failed run among these.
    """

    def __init__(self) -> None:
        self.runs: set[tuple[str, int]] = set()
        self._failures: set[Failure] = set()

    def add_new(self, action: Action, manager: TaskManager, result: Any) -> set[Failure]:
        """Record the failures in a condition's result; returns those that are new."""
        if signature(result) is None:
            return set()
        new = _failures(action, manager, result) - self._failures
        self._failures |= new
        self.runs |= {failure[2:4] for failure in new if len(failure) > FEWEST}
        return new


class ErrorHandling:
    """Calls the error handlers in one execution: no await raises while a handler is running.

    Args:
        handlers: the registered handlers, including those that are added later.
        handled: the failures that they need not be called for again.

    Belongs to the running loop.
    """

    def __init__(self, handlers: Mapping[Any, Action], handled: Handled) -> None:
        self._handlers = handlers
        self._handled = handled
        self._lock = asyncio.Lock()

    async def check(self) -> None:
        """Call the handlers for the failures since the last check.

        Raises ``RunFailed`` (or ``MotokoError``, for conditions that select no runs) if a failure
        remains afterwards: a failure that no handler mends ends the workflow.
        """
        if in_handler():
            await self._check()  # the caller of this handler may hold the lock
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
        raise AbnormalEnd(f"workflow terminated abnormally: {action.name} is true")
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
