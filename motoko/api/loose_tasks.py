"""Tasks that an orchestrator creates and does not await: their errors do not go unnoticed."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from motoko.errors import MotokoError

log = logging.getLogger(__name__)

_ASYNCIO = Path(asyncio.__file__).parent


class LeftTasks(MotokoError):
    """The orchestrator's function has returned while tasks that it had created were running."""


class LooseTasks:
    """The tasks that the code of a workflow creates in the running loop from now on.

    Args:
        directory: where that code is. Libraries look after their tasks themselves.
        on_failure: called with the exception of a task that can no longer be awaited.
    """

    def __init__(self, directory: Path, on_failure: Callable[[BaseException], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._places = (directory, _ASYNCIO)  # asyncio's own coroutines wrap the workflow's
        self._on_failure = on_failure
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._loop.set_task_factory(self._make)
        self._loop.set_exception_handler(self._handle)

    def close(self) -> None:
        """Stop watching new tasks."""
        self._loop.set_task_factory(None)
        self._loop.set_exception_handler(None)

    def _make(
        self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
        code = getattr(work, "cr_code", None)
        if code is not None and any(map(Path(code.co_filename).is_relative_to, self._places)):
            self._tasks.add(task)
        return task

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if (context.get("task") is None and context.get("future") is None) or error is None:
            loop.default_exception_handler(context)
        else:
            self._on_failure(error)

    @property
    def failure(self) -> BaseException | None:
        """The exception of one of the tasks, if it has not been retrieved yet."""
        for task in self._tasks:
            # Python's own flag for this warning: task.exception() would mark it as retrieved.
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                return task.exception()
        return None

    @property
    def left(self) -> list[str]:
        """The tasks that are running and have not been cancelled, each as name and function."""
        return sorted(
            f"{task.get_name()}: {getattr(task.get_coro(), '__qualname__', task.get_coro())}"
            for task in self._tasks
            if not task.done() and not task.cancelling()
        )
