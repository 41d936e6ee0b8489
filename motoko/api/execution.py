"""One execution of a workflow: the orchestrator's function, actions and error handlers."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from motoko.api.actions import Action, in_handler
from motoko.api.engine import Engine
from motoko.api.error_handlers import ErrorHandling
from motoko.api.loose_tasks import LeftTasks, LooseTasks
from motoko.api.passed_arguments import NOT_ASYNC
from motoko.api.precursors import begin_history
from motoko.api.reactions import Reactions, round_of
from motoko.api.selection import TICK_S
from motoko.api.task_manager import TaskManager
from motoko.bus.waiters import Interest
from motoko.control import client
from motoko.control.registration import registered
from motoko.errors import ConfigError, WorkflowStopped

log = logging.getLogger(__name__)


class Execution:
    """One execution; belongs to the loop that runs when it is made.

    Args:
        engine: the workflow's engine.
        reactions: the workflow's actions and error handlers.
        managers: the workflow's task managers by study.
    """

    def __init__(
        self, engine: Engine, reactions: Reactions, managers: Mapping[str, TaskManager]
    ) -> None:
        self._engine = engine
        self._reactions = reactions
        self._managers = managers
        self._loop = asyncio.get_running_loop()
        self._finish = asyncio.Event()
        self._round = asyncio.Lock()
        self._errors = ErrorHandling(reactions.error_handlers, reactions.handled)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._wake_up = asyncio.Event()
        self._fault: BaseException | None = None  # of a task that can no longer be awaited

    def finish(self) -> None:
        """End it. May be called by a signal's handler, and by other threads."""
        self._loop.call_soon_threadsafe(self._finish.set)

    async def handle_failure(self) -> None:
        """Called before an await raises: error handlers first, then, for ``main``, one round."""
        await self._errors.check()
        # While a handler is suspended, a round would have to wait for it; a failure does not wait.
        if not in_handler() and not self._round.locked():
            async with self._round:
                await round_of(self._engine, self._reactions.in_order(), self._beside)

    async def run(self, main: Callable[[], Any]) -> None:
        """Do what :meth:`motoko.workflow.Workflow.execute` promises.

        Args:
            main: calls the orchestrator's function.
        """
        engine = self._engine
        run_name, runtime = engine.run_name, engine.served()
        with contextlib.ExitStack() as stack:
            if run_name is not None and runtime is not None:
                stack.enter_context(registered(runtime, run_name))
            stack.enter_context(engine.driven_by(self))
            await self._run(main)

    async def _run(self, function: Callable[[], Any]) -> None:
        from motoko.store.session import session

        loose = LooseTasks(self._engine.definition.directory, self._fail)
        main = asyncio.create_task(self._main(function), name="main")
        finish = asyncio.create_task(self._finish.wait(), name="finish")
        self._tasks = {
            main,
            asyncio.create_task(self._watch_for_stop(), name="stop"),
            finish,
            asyncio.create_task(self._run_actions(), name="actions"),
            asyncio.create_task(self._run_error_handlers(), name="error handlers"),
        }
        try:
            while not finish.done() and (not main.done() or self._reactions.registered):
                # A concurrent handler that has just started is waited for from now on.
                started = asyncio.create_task(self._wake_up.wait())
                done, _ = await asyncio.wait(
                    {*self._tasks, started}, return_when=asyncio.FIRST_COMPLETED
                )
                started.cancel()
                self._wake_up.clear()
                self._tasks -= done
                _raise_first([main, *done - {started}])  # an error ends the workflow
            if self._engine.stopped:
                raise WorkflowStopped("the workflow was stopped while it was executed")
            session().commit()
            await self._cancel_own()
            self._check(loose)
        finally:
            await self._cancel_own()
            loose.close()
            self._engine.noticed |= self._reactions.handled.runs
            self._engine.detach()

    async def _cancel_own(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _fail(self, error: BaseException) -> None:
        self._fault = self._fault or error
        self._finish.set()

    def _check(self, loose: LooseTasks) -> None:
        """Raise a task's error that nothing has awaited; ``LeftTasks`` if tasks are running."""
        if (failure := self._fault or loose.failure) is not None:
            raise failure
        if left := loose.left:
            text = f"tasks were still at work: {'; '.join(left)}"
            if not self._engine.finished:
                raise LeftTasks(
                    f"the orchestrator's function has returned, and {text}",
                    hint="await them, cancel them, or set workflow.finished = True",
                )
            log.warning("workflow.finished was set, and %s", text)

    async def _main(self, function: Callable[[], Any]) -> None:
        from motoko.store.session import session

        begin_history()
        result = function()
        if not inspect.isawaitable(result):
            name = ".".join(self._engine.definition.orchestrator)
            raise ConfigError(
                f"{name} is not an async function",
                hint=NOT_ASYNC,
            )
        await result
        session().commit()

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a handler alongside other handlers; an error that it raises ends the workflow."""
        self._tasks.add(asyncio.create_task(work))
        self._wake_up.set()

    async def _run_actions(self) -> None:
        actions = self._reactions.actions

        async def act() -> float | None:
            async with self._round:
                holds = await round_of(self._engine, self._reactions.in_order(), self._beside)
            # A condition that is code may depend on anything, time included.
            opaque = any(action.is_opaque for action in actions.values())
            return TICK_S if holds or opaque else None

        await self._react(actions, act)

    async def _run_error_handlers(self) -> None:
        async def act() -> float | None:
            await self._errors.check()
            return None

        await self._react(self._reactions.error_handlers, act)

    async def _watch_for_stop(self) -> None:
        """Raise ``WorkflowStopped`` at once, even if the code awaits nothing of Motoko's now."""
        if not client.is_supervised(self._engine.definition):
            return  # a supervisor is started when needed; awaits are then told when it stops
        dispatcher = await self._engine.attached()
        with dispatcher.waiting(Interest()) as waiter:
            while True:
                await waiter.wait()
                waiter.check_stopped("it was executed")

    async def _react(
        self,
        actions: Mapping[Any, Action],
        act: Callable[[], Coroutine[Any, Any, float | None]],
    ) -> None:
        """Act now, and again when something happens in the studies or is registered."""
        from motoko.store.session import session

        registration = asyncio.Event()
        events = {registration}
        self._reactions.changed |= events
        try:
            while not actions:
                await registration.wait()
                registration.clear()
            dispatcher = await self._engine.attached()
            managers = self._managers
            with dispatcher.waiting(Interest(studies=managers)) as waiter:
                events.add(waiter.event)
                self._reactions.changed |= events
                for manager in managers.values():
                    session().refresh(manager.base)
                while True:
                    tick = await act()
                    waiter.interest.states_only = all(
                        action.reads_states_only for action in actions.values()
                    )
                    news = await waiter.wait(tick)
                    waiter.check_stopped("it was executed")
                    waiter.read_again = False
                    for study, manager in managers.items():
                        tids = [change.tid for change in news if change.study == study]
                        tid = max(map(bytes.fromhex, tids), default=dispatcher.tid(study))
                        session().refresh(manager.base, tid)
        finally:
            self._reactions.changed -= events


def _raise_first(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Raise the error of the first task that has one; all tasks' errors count as retrieved."""
    ended = [task for task in tasks if task.done()]
    for task in ended:
        if not task.cancelled():
            task.exception()
    for task in ended:
        task.result()
