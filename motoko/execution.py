"""Running an orchestrator: its function, its actions and its error handlers, in one loop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import logging
import os
import socket
import sys
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from motoko.actions import ALL, Action, ErrorHandlers, in_handler, round_of
from motoko.bus.messages import OrchestratorStatus, Transition, VarChanged
from motoko.dispatch import Dispatcher, Interest, Waiter
from motoko.errors import ConfigError, NoSupervisor, WorkflowStopped
from motoko.identity import Identity
from motoko.orchestrators import registered
from motoko.runtime import Runtime, locate
from motoko.selection import TICK_S

if TYPE_CHECKING:
    from motoko.workflow import Workflow

log = logging.getLogger(__name__)

# Set in every run: from inside one, nothing is ever started.
AWAITS_SHOWN = 5
RUN_ID_VARIABLE = "BLACKDYNAMITE_RUN_ID"


class Execution:
    """The moving parts of a workflow object."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self.registered: dict[str, dict[str, Any]] = {}
        self._actions: dict[tuple[str, str], Action] = {}
        self._errors = ErrorHandlers(workflow)
        self._finished = False
        self._stopped = False
        self.starts_supervisor = True  # where there is none
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finish: asyncio.Event | None = None
        self.listeners: list[Callable[[Transition], None]] = []  # told of every transition
        self._registration: set[asyncio.Event] = set()  # of the loops that react to one
        self._round = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._wake_up = asyncio.Event()
        self._dispatcher: Dispatcher | None = None

    @property
    def finished(self) -> bool:
        return self._finished

    @finished.setter
    def finished(self, value: bool) -> None:
        self._finished = bool(value)
        if self._finished and self._finish is not None:
            self._finish.set()

    def stop(self) -> None:
        """Have what is executed, now or next, raise ``WorkflowStopped``.

        May be called by a signal's handler.
        """
        self._stopped = True
        if self._finish is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._finish.set)

    @property
    def dispatcher(self) -> Dispatcher:
        assert self._dispatcher is not None, "made by attached()"
        return self._dispatcher

    async def attached(self) -> Dispatcher:
        """The dispatcher of the running loop, made at the first use, and live."""
        from motoko import control

        current = self._dispatcher
        if current is None or current.loop is not asyncio.get_running_loop():
            if current is not None:
                current.close()
            workflow = self._workflow
            runtime = self.served()
            if runtime is None:
                raise NoSupervisor(
                    f"no supervisor runs for {workflow.config_path}",
                    hint="run `motoko supervise`",
                )
            managers = workflow.task_managers
            current = Dispatcher(
                runtime,
                managers,
                lambda study: managers[study].own_tid,
                supervisor=control.supervisor_identity(workflow._definition),
                status=self._status,
            )
            self._dispatcher = current
            atexit.register(_close, weakref.ref(workflow))
            current.listeners += self.listeners
            self._warn_without_launchers()
        await current.live()
        return current

    def _status(self, dispatcher: Dispatcher) -> OrchestratorStatus:
        """What ``motoko ps`` shows of this process."""
        awaits = dispatcher.awaits
        return OrchestratorStatus(
            self._workflow.run_name or "",
            os.getpid(),
            socket.gethostname(),
            waiting=[waiter.what for waiter in awaits[:AWAITS_SHOWN]],
            awaits=len(awaits),
            since=awaits[0].since if awaits else None,
            counts=asdict(dispatcher.counters),
        )

    @property
    def awaits(self) -> list[Waiter]:
        """What is awaited just now, the longest first."""
        return [] if self._dispatcher is None else self._dispatcher.awaits

    def tell_of_var(self, name: str) -> None:
        """Tell whoever waits that a value of ``workflow.vars`` is another."""
        if self._dispatcher is not None:
            who = Identity.mine()
            self._dispatcher.publish(VarChanged(name, who.pid, who.host))

    def served(self) -> Runtime | None:
        """Where the workflow's servers listen; a supervisor is started if there is none.

        It is started detached and without launchers, and never from inside a run: then
        ``NoSupervisor`` is raised if there is none.
        """
        from motoko import control

        definition = self._workflow._definition
        if not any(study.is_local for study in definition.studies.values()):
            return locate(definition)
        runtime = locate(definition)
        if os.environ.get(RUN_ID_VARIABLE):
            if runtime is None:
                raise NoSupervisor(
                    f"no supervisor runs for {definition.path}, and a run starts none",
                    hint="run `motoko supervise` outside",
                )
            return runtime
        if not self.starts_supervisor and runtime is not None:
            return runtime
        if not control.is_running(definition):
            control.check_startable(definition, launchers=False)
            print(
                f"motoko: no supervisor runs for {definition.path}: starting one "
                "(without launchers; `motoko supervise` adds them, `motoko kill` stops all)",
                file=sys.stderr,
            )
            control.start_detached(definition.path, launchers=False)
        return locate(definition)

    def _warn_without_launchers(self) -> None:
        from motoko import control

        status = control.supervisor_status(self._workflow._definition)
        if status and not any(each["kind"] == "launcher" for each in status["daemons"]):
            log.warning(
                "no launcher runs: runs that are created stay so; `motoko launcher` starts them"
            )

    def close(self) -> None:
        """Stop listening to the bus."""
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None

    def add_action(
        self,
        name: str,
        task: str,
        event: Any,
        get_params: Any,
        f: Callable[..., Any] | None,
        concurrent: bool,
    ) -> None:
        if task != ALL:
            self._workflow._manager(task)  # AttributeError names the task managers
        action = Action(name, task, event, f, get_params, concurrent)
        self.registered.setdefault(task, {})[name] = (event, f, get_params)
        self._actions[task, name] = action
        self._wake()

    def add_error_handler(
        self, event: Any, f: Callable[..., Any], task: str = ALL, get_params: Any = None
    ) -> None:
        if task != ALL:
            self._workflow._manager(task)
        name = "error_handler"
        self._errors.actions[task, name] = Action(name, task, event, f, get_params)
        self._wake()

    def _wake(self) -> None:
        """Something was registered: evaluate it now."""
        for event in self._registration:
            event.set()

    def in_order(self) -> list[Action]:
        """The actions by task in the order of first registration, then by registration."""
        return [
            self._actions[task, name] for task, names in self.registered.items() for name in names
        ]

    async def handle_failure(self) -> None:
        """Called before an await raises: error handlers first, then, for ``main``, one round."""
        if self._finish is None:
            return  # no execute(): nobody but the caller can act
        await self._errors.check()
        # While a handler is suspended a round has to wait; the failure does not.
        if not in_handler() and not self._round.locked():
            async with self._round:
                await round_of(self._workflow, self.in_order(), self._beside)

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a handler beside the others; what it raises ends the workflow."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        self._wake_up.set()

    async def run(self, params: dict[str, Any]) -> None:
        """What :meth:`motoko.workflow.Workflow.execute` promises."""
        function = self._workflow.get_orchestrator_function()
        run_name, runtime = self._workflow.run_name, self.served()
        with contextlib.ExitStack() as stack:
            if run_name is not None and runtime is not None:
                stack.enter_context(registered(runtime, run_name))
            await self._run(function, params)

    async def _run(self, function: Callable[..., Any], params: dict[str, Any]) -> None:
        from motoko.bd.session import session

        self._loop = asyncio.get_running_loop()
        self._finish = asyncio.Event()
        self._round = asyncio.Lock()
        self._wake_up = asyncio.Event()
        if self._finished or self._stopped:
            self._finish.set()
        main = asyncio.create_task(self._main(function, params), name="main")
        finish = asyncio.create_task(self._finish.wait(), name="finish")
        self._tasks = {
            main,
            finish,
            asyncio.create_task(self._run_actions(), name="actions"),
            asyncio.create_task(self._run_error_handlers(), name="error handlers"),
        }
        try:
            while not finish.done() and (not main.done() or self.registered):
                # A handler that starts beside the others is waited for from then on.
                started = asyncio.create_task(self._wake_up.wait())
                done, _ = await asyncio.wait(
                    {*self._tasks, started}, return_when=asyncio.FIRST_COMPLETED
                )
                started.cancel()
                self._wake_up.clear()
                self._tasks -= done
                for task in done - {started}:
                    task.result()  # what it has raised ends the workflow
            if self._stopped:
                raise WorkflowStopped("the workflow was stopped while it was executed")
            session().commit()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._finish, self._stopped = None, False
            self.close()

    async def _main(self, function: Callable[..., Any], params: dict[str, Any]) -> None:
        from motoko.bd.session import session

        result = function(self._workflow, **params)
        if not inspect.isawaitable(result):
            raise ConfigError(
                f"{self._workflow.orchestrator_script} is not an async function",
                hint="write `async def main(workflow, **params)`",
            )
        await result
        session().commit()

    async def _run_actions(self) -> None:
        async def act() -> float | None:
            async with self._round:
                holds = await round_of(self._workflow, self.in_order(), self._beside)
            # A condition that is code may depend on anything, time included.
            opaque = any(action.is_opaque for action in self._actions.values())
            return TICK_S if holds or opaque else None

        await self._react(self._actions, act)

    async def _run_error_handlers(self) -> None:
        async def act() -> float | None:
            await self._errors.check()
            return None

        await self._react(self._errors.actions, act)

    async def _react(
        self,
        actions: dict[tuple[str, str], Action],
        act: Callable[[], Coroutine[Any, Any, float | None]],
    ) -> None:
        """Act now, and again whenever something has happened in the studies, or when told."""
        from motoko.bd.session import session

        registered = asyncio.Event()
        events = {registered}
        self._registration |= events
        try:
            while not actions:
                await registered.wait()
                registered.clear()
            dispatcher = await self.attached()
            managers = self._workflow.task_managers
            with dispatcher.waiting(Interest(studies=managers)) as waiter:
                events.add(waiter.event)
                self._registration |= events
                for manager in managers.values():
                    session().refresh(manager.base)
                while True:
                    tick = await act()
                    waiter.interest.states_only = all(
                        action.reads_states_only(self._workflow) for action in actions.values()
                    )
                    news = await waiter.wait(tick)
                    if waiter.stopped:
                        raise WorkflowStopped("the workflow was stopped while it was executed")
                    waiter.read_again = False
                    for study, manager in managers.items():
                        tids = [change.tid for change in news if change.study == study]
                        tid = max(map(bytes.fromhex, tids), default=dispatcher.tid(study))
                        session().refresh(manager.base, tid)
        finally:
            self._registration -= events


def _close(reference: weakref.ref[Workflow]) -> None:
    """At the interpreter's end: take leave of the servers instead of just vanishing."""
    workflow = reference()
    if workflow is not None:
        workflow._close()
