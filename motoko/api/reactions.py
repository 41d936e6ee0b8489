"""The registered actions and error handlers of a workflow, and one round of its actions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from motoko.api.actions import ALL, Action
from motoko.api.engine import Engine
from motoko.api.error_handlers import Handled
from motoko.api.task_manager import TaskManager

Key = tuple[str, str]  # a task and an action's name


class Reactions:
    """The actions and error handlers of one workflow object; they outlive an execution.

    Args:
        engine: the workflow's engine.
        managers: the task managers by name.
        manager_of: finds the task manager of a name or alias; ``AttributeError`` if there is none.

    Attributes:
        actions: the actions by task and name.
        error_handlers: the error handlers by task and name.
        registered: ``(event, f, get_params)`` of the actions, by task and name.
        handled: the failures that the error handlers have been called for.
        changed: events, one for each loop that reacts; they are set when something is registered.
    """

    def __init__(
        self,
        engine: Engine,
        managers: Mapping[str, TaskManager],
        manager_of: Callable[[str], TaskManager],
    ) -> None:
        self._engine = engine
        self._managers = managers
        self._manager_of = manager_of
        self.actions: dict[Key, Action] = {}
        self.error_handlers: dict[Key, Action] = {}
        self.registered: dict[str, dict[str, Any]] = {}
        self.handled = Handled()
        self.changed: set[asyncio.Event] = set()

    def add_action(
        self,
        name: str,
        task: str,
        event: Any,
        get_params: Any,
        f: Callable[..., Any] | None,
        concurrent: bool,
    ) -> None:
        """Register an action, as :meth:`motoko.workflow.Workflow.add_action` describes it."""
        action = self._action(name, task, event, f, get_params, concurrent=concurrent)
        self.registered.setdefault(task, {})[name] = (event, f, get_params)
        self.actions[task, name] = action
        self._wake()

    def add_error_handler(
        self, event: Any, f: Callable[..., Any], task: str = ALL, get_params: Any = None
    ) -> None:
        """Register an error handler; it replaces the task's earlier one."""
        name = "error_handler"
        self.error_handlers[task, name] = self._action(name, task, event, f, get_params)
        self._wake()

    def in_order(self) -> list[Action]:
        """The actions by task in the order of first registration, then by registration."""
        return [
            self.actions[task, name] for task, names in self.registered.items() for name in names
        ]

    def _action(
        self,
        name: str,
        task: str,
        event: Any,
        f: Any,
        get_params: Any,
        *,
        concurrent: bool = False,
    ) -> Action:
        managers = (
            self._managers.values() if task == ALL else [self._manager_of(task)]
        )  # AttributeError names the task managers
        return Action(
            name,
            task,
            event,
            f,
            get_params,
            engine=self._engine,
            managers=tuple(managers),
            concurrent=concurrent,
        )

    def _wake(self) -> None:
        """Wake the loops that react, so that they evaluate what was registered now."""
        for event in self.changed:
            event.set()


async def round_of(
    engine: Engine,
    actions: list[Action],
    beside: Callable[[Coroutine[Any, Any, None]], None],
) -> bool:
    """Evaluate actions in order and fire those that are due; returns whether any condition holds.

    ``beside`` starts the handler of a concurrent action.
    """
    holds = False
    for action in actions:
        for manager in action.managers:
            if action.running:
                holds = True  # so that it is evaluated again
                continue
            result = action.evaluate(manager)
            if not action.due(manager, result):
                holds = holds or action.holds_in(manager)
                continue
            holds = True
            work = action.handle(manager, result)
            if action.concurrent:
                action.running = True  # before the handler starts: the next study comes first
                beside(work)
            else:
                await work
            if engine.finished:
                return holds
    return holds
