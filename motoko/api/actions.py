"""Actions: conditions on the studies, and the handlers that are called while they hold.

An action fires when its condition becomes true or selects other runs (or runs in other states)
than before, and otherwise again every tick while the condition is true. So a handler that writes
what triggers it does not spin, and a handler that failed to act is called again.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from motoko.api.engine import Engine
from motoko.api.failures import notice_failures
from motoko.api.passed_arguments import taken
from motoko.api.precursors import called_for
from motoko.api.selection import TICK_S, TaskSelection, TaskSelectionEval
from motoko.api.task_manager import TaskManager
from motoko.bus.waiters import whose
from motoko.errors import WrongUse
from motoko.runs.states import state_of

log = logging.getLogger("motoko.api.actions")

ALL = "__all__"
_in_handler: ContextVar[bool] = ContextVar("motoko_in_handler", default=False)
Evaluate = Callable[[TaskManager], Any]


def condition(event: Any, name: str) -> Evaluate:
    """A function that evaluates an event condition for one task manager; true if it holds.

    Raises ``MotokoError`` if ``event`` is not a condition.
    """
    if isinstance(event, TaskSelection):
        return lambda manager: event.current()
    if isinstance(event, TaskSelectionEval):
        return lambda manager: event()
    if isinstance(event, (str, list)):
        return lambda manager: manager.select(event)
    if callable(event):
        if inspect.isgeneratorfunction(event) or inspect.isasyncgenfunction(event):
            raise WrongUse(f"action {name!r}: its condition is a generator")
        if inspect.iscoroutinefunction(event):
            raise WrongUse(
                f"action {name!r}: its condition is async, and nobody would await it",
                hint="make it a plain function, and await in the handler",
            )
        match list(inspect.signature(event).parameters):
            case ["run", "job"]:
                return lambda manager: [
                    (run, job) for run, job in manager.select() if event(run, job)
                ]
            case ["workflow", "task_manager"]:
                return lambda manager: event(manager.workflow, task_manager=manager)
            case []:
                return lambda manager: event()
    raise WrongUse(
        f"Unknown event description {name}: {event!r}",
        hint="a constraint string, a list of them, f(run, job), f(workflow, task_manager), f(), "
        "or a selection",
    )


def handler(f: Any, name: str) -> Any:
    """Check a handler; ``MotokoError`` if it cannot be called."""
    target = inspect.unwrap(f) if callable(f) else f
    if not callable(f):
        raise WrongUse(f"action {name!r}: f={f!r} cannot be called")
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise WrongUse(
            f"action {name!r}: {target.__name__} is a generator, which nobody would iterate",
            hint="make it a plain or an async function, without `yield`",
        )
    return f


@dataclass
class _Firing:
    """What an action last fired for in one study, and when."""

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
    engine: Engine = field(kw_only=True)  # of the workflow that the action belongs to
    managers: tuple[TaskManager, ...] = field(kw_only=True)  # evaluated for each of them
    concurrent: bool = False  # its handler runs alongside other handlers (never twice at once)
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

    @property
    def reads_states_only(self) -> bool:
        """Whether commits that change no run's state cannot change the condition."""
        if isinstance(self.event, TaskSelection):
            return self.event.reads_states_only
        return isinstance(self.event, (str, list)) and all(
            manager.select(self.event).reads_states_only for manager in self.managers
        )

    def due(self, manager: TaskManager, result: Any) -> bool:
        """Whether to fire now for the condition's result; records the firing if so."""
        selected = signature(result)
        now = time.monotonic()
        last = self._last.get(manager.study)
        if selected is None:
            self._last.pop(manager.study, None)
            return False
        if last is not None and last.selected == selected and now - last.at < TICK_S:
            return False
        self._last[manager.study] = _Firing(selected, now)
        return True

    def holds_in(self, manager: TaskManager) -> bool:
        """Whether the condition held in a study when it was last evaluated."""
        return manager.study in self._last

    def settle(self, manager: TaskManager) -> None:
        """After the handler: its changes to its own runs do not fire the action before the tick.

        Runs that the handler was not called for do: they may have appeared while it was running.
        """
        selected = signature(self.evaluate(manager))
        fired = self._last.get(manager.study)
        if selected is None or fired is None:
            self._last.pop(manager.study, None)
            return
        if isinstance(selected, frozenset) and isinstance(fired.selected, frozenset):
            called_for = {element[:2] for element in fired.selected}
            selected = frozenset(run for run in selected if run[:2] in called_for)
        self._last[manager.study] = _Firing(selected, time.monotonic())

    async def handle(self, manager: TaskManager, result: Any) -> None:
        """Call the handler and commit its changes."""
        from motoko.store.session import session

        self.running = True
        notice_failures(selected(result))
        try:
            await self.fire(manager, result)
            session().commit()
            if not self.engine.finished:
                self.settle(manager)
        finally:
            self.running = False

    async def fire(self, manager: TaskManager, result: Any) -> None:
        """Call the handler."""
        arguments: dict[str, Any] = dict(self.engine.params)
        arguments["workflow"] = manager.workflow
        arguments["params"] = self.get_params() if callable(self.get_params) else self.get_params
        if not isinstance(result, bool):
            arguments["runs"] = result
        log.info("fire %s for %s", self.name, manager.study)
        token, name = _in_handler.set(True), whose.set(self.name)
        try:
            with called_for(selected(result)):
                returned = self.f(**taken(self.f, arguments))
                if inspect.isawaitable(returned):
                    await returned
        finally:
            _in_handler.reset(token)
            whose.reset(name)


def selected(result: Any) -> Any:
    """A condition's result; for a selection, the pairs that it finds."""
    return result.current() if isinstance(result, TaskSelection) else result


def signature(result: Any) -> Any:
    """A condition's result in a form that can be compared; ``None`` if it does not hold."""
    result = selected(result)
    if not result:
        return None
    if isinstance(result, bool):
        return True
    try:
        return frozenset((job.id, run.id, state_of(run.entries)) for run, job in result)
    except (TypeError, ValueError, AttributeError):
        return True  # the result is true, but has no runs to compare


def in_handler() -> bool:
    """Whether the caller runs inside a handler (and not in ``main`` or in a user's script)."""
    return _in_handler.get()
