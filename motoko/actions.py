"""Actions: conditions on the studies, and the handlers that are called while they hold.

An action fires when its condition becomes true or selects other runs (or runs in other states)
than before, and otherwise again every tick while it is true. So a handler that writes what
triggers it does not spin, and one that failed to act is called again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from motoko.dispatch import whose
from motoko.errors import MotokoError
from motoko.run_list import failure
from motoko.selection import TICK_S, TaskSelection, TaskSelectionEval

if TYPE_CHECKING:
    from motoko.task_manager import TaskManager
    from motoko.workflow import Workflow

log = logging.getLogger("motoko.actions")

ALL = "__all__"
_in_handler: ContextVar[bool] = ContextVar("motoko_in_handler", default=False)
Evaluate = Callable[["Workflow", "TaskManager"], Any]


def condition(event: Any, name: str) -> Evaluate:
    """What evaluates an event condition for one task manager; its result is true if it holds.

    Raises ``MotokoError`` for something that is no condition.
    """
    if isinstance(event, TaskSelection):
        return lambda workflow, manager: event.current()
    if isinstance(event, TaskSelectionEval):
        return lambda workflow, manager: event()
    if isinstance(event, (str, list)):
        return lambda workflow, manager: manager.select(event)
    if callable(event):
        if inspect.isgeneratorfunction(event) or inspect.isasyncgenfunction(event):
            raise MotokoError(f"action {name!r}: its condition is a generator")
        if inspect.iscoroutinefunction(event):
            raise MotokoError(
                f"action {name!r}: its condition is async, and nobody would await it",
                hint="make it a plain function, and await in the handler",
            )
        match list(inspect.signature(event).parameters):
            case ["run", "job"]:
                return lambda workflow, manager: [
                    (run, job) for run, job in manager.select() if event(run, job)
                ]
            case ["workflow", "task_manager"]:
                return lambda workflow, manager: event(workflow, task_manager=manager)
            case []:
                return lambda workflow, manager: event()
    raise MotokoError(
        f"Unknown event description {name}: {event!r}",
        hint="a constraint string, a list of them, f(run, job), f(workflow, task_manager), f(), "
        "or a selection",
    )


def handler(f: Any, name: str) -> Any:
    """Check a callback; ``MotokoError`` for what cannot be called back."""
    target = inspect.unwrap(f) if callable(f) else f
    if not callable(f):
        raise MotokoError(f"action {name!r}: f={f!r} cannot be called")
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise MotokoError(
            f"action {name!r}: {target.__name__} is a generator, which nobody would iterate",
            hint="make it a plain or an async function, without `yield`",
        )
    return f


@dataclass
class _Firing:
    """What an action has last fired for, in one study."""

    selected: Any = None
    at: float = 0.0


@dataclass
class Action:
    """One registered action."""

    name: str
    task: str
    event: Any
    f: Any
    get_params: Any
    concurrent: bool = False  # its handler runs beside others (never beside itself)
    running: bool = False
    _last: dict[str, _Firing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.evaluate = condition(self.event, self.name)
        self.f = handler(self.f, self.name)

    @property
    def is_opaque(self) -> bool:
        """Whether the condition may become true without anything happening in a study."""
        if isinstance(self.event, TaskSelectionEval):
            return self.event.ticks
        return callable(self.event) and not isinstance(self.event, TaskSelection)

    def reads_states_only(self, workflow: Workflow) -> bool:
        """Whether commits that change no run's state are of no concern to the condition."""
        if isinstance(self.event, TaskSelection):
            return self.event.reads_states_only
        return isinstance(self.event, (str, list)) and all(
            manager.select(self.event).reads_states_only for manager in self.managers(workflow)
        )

    def managers(self, workflow: Workflow) -> Iterator[TaskManager]:
        """The task managers the action is evaluated for."""
        if self.task == ALL:
            yield from workflow.task_managers.values()
        else:
            yield workflow._manager(self.task)

    def due(self, manager: TaskManager, found: Any) -> bool:
        """Whether to fire now for what the condition has found; notes it if so."""
        selected = _signature(found)
        now = time.monotonic()
        last = self._last.get(manager.study)
        if selected is None:
            self._last.pop(manager.study, None)
            return False
        if last is not None and last.selected == selected and now - last.at < TICK_S:
            return False
        self._last[manager.study] = _Firing(selected, now)
        return True

    def settle(self, workflow: Workflow, manager: TaskManager) -> None:
        """After the handler: what it wrote to its own runs is no reason to fire before the tick.

        Runs that it was not called for are: they may have come while it was at work.
        """
        selected = _signature(self.evaluate(workflow, manager))
        fired = self._last.get(manager.study)
        if selected is None or fired is None:
            self._last.pop(manager.study, None)
            return
        if isinstance(selected, frozenset) and isinstance(fired.selected, frozenset):
            called_for = {element[:2] for element in fired.selected}
            selected = frozenset(each for each in selected if each[:2] in called_for)
        self._last[manager.study] = _Firing(selected, time.monotonic())

    async def handle(self, workflow: Workflow, manager: TaskManager, found: Any) -> None:
        """Call the handler and save what it has changed."""
        from motoko.bd.session import session

        self.running = True
        try:
            await self.fire(workflow, manager, found)
            session().commit()
            if not workflow.finished:
                self.settle(workflow, manager)
        finally:
            self.running = False

    async def fire(self, workflow: Workflow, manager: TaskManager, found: Any) -> None:
        """Call the handler."""
        arguments: dict[str, Any] = dict(workflow.params)
        arguments["workflow"] = workflow
        arguments["params"] = self.get_params() if callable(self.get_params) else self.get_params
        if not isinstance(found, bool):
            arguments["runs"] = found
        log.info("fire %s for %s", self.name, manager.study)
        token, name = _in_handler.set(True), whose.set(self.name)
        try:
            result = self.f(**arguments)
            if inspect.isawaitable(result):
                await result
        finally:
            _in_handler.reset(token)
            whose.reset(name)


def _signature(found: Any) -> Any:
    """What a condition has found, comparable; ``None`` if it does not hold."""
    if isinstance(found, TaskSelection):
        found = found.current()
    if not found:
        return None
    if isinstance(found, bool):
        return True
    try:
        return frozenset((job.id, run.id, run.entries.get("state")) for run, job in found)
    except (TypeError, ValueError, AttributeError):
        return True  # something else that is true: no runs to compare


def in_handler() -> bool:
    """Whether the caller runs inside a handler (and not in ``main``, or in a user's script)."""
    return _in_handler.get()


async def round_of(
    workflow: Workflow,
    actions: list[Action],
    beside: Callable[[Coroutine[Any, Any, None]], None],
) -> bool:
    """Evaluate actions in order and fire those that are due; whether any condition holds.

    ``beside`` starts the handler of a concurrent action.
    """
    holds = False
    for action in actions:
        for manager in action.managers(workflow):
            if action.running:
                holds = True  # to be looked at again
                continue
            found = action.evaluate(workflow, manager)
            if not action.due(manager, found):
                holds = holds or manager.study in action._last
                continue
            holds = True
            work = action.handle(workflow, manager, found)
            if action.concurrent:
                action.running = True  # before it starts: the next study's turn is now
                beside(work)
            else:
                await work
            if workflow.finished:
                return holds
    return holds


class ErrorHandlers:
    """Handlers that are called once for each run that fails, before anybody's await raises."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._handled: set[Any] = set()
        self._lock = asyncio.Lock()  # nobody's await raises while a handler is still at work
        self.actions: dict[tuple[str, str], Action] = {}

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
        from motoko.bd.session import session

        for action in self.actions.values():
            for manager in action.managers(self._workflow):
                found = action.evaluate(self._workflow, manager)
                new = self._new(action, manager, found)
                if not new:
                    continue
                self._handled |= new
                await action.fire(self._workflow, manager, found)
                session().commit()
                self._raise_if_still(action, manager, new)

    def _new(self, action: Action, manager: TaskManager, found: Any) -> set[Any]:
        if _signature(found) is None:
            return set()
        prefix = (action.task, action.name, manager.study)
        if isinstance(found, bool):
            return {prefix} - self._handled
        return {(*prefix, run.id, run.entries.get("attempt")) for run, _ in found} - self._handled

    def _raise_if_still(self, action: Action, manager: TaskManager, new: set[Any]) -> None:
        found = action.evaluate(self._workflow, manager)
        if isinstance(found, bool):
            if found:
                raise MotokoError(f"workflow terminated abnormally: {action.name} is true")
            return
        for run, _ in found:
            if (action.task, action.name, manager.study, run.id, run.entries.get("attempt")) in new:
                raise failure(run)
