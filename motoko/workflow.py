"""A workflow: its studies, its actions, and the execution of its orchestrator."""

from __future__ import annotations

import argparse
import functools
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from motoko.config import WorkflowConfig, load
from motoko.execution import Execution
from motoko.runtime import locate
from motoko.task_manager import TaskManager
from motoko.vars import WorkflowVars

if TYPE_CHECKING:
    from BlackDynamite.run_zeo import RunZEO


__all__ = ["Workflow", "event"]


def event(func: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an action's handler: an async (or plain) function, whose changes are then saved."""

    @functools.wraps(func)
    async def handler(*args: Any, **kwargs: Any) -> Any:
        from motoko.bd.session import session

        result = func(*args, **kwargs)
        if inspect.isawaitable(result):
            result = await result
        session().commit()
        return result

    return handler


def no_action(*args: Any, **kwargs: Any) -> None:
    """The error handler that does nothing itself."""


class Workflow:
    """The workflow that a ``motoko.yaml`` describes.

    Its task managers are attributes, by their names and aliases (so what is not for users starts
    with an underscore). Making the object only reads
    files: it starts, locks and prints nothing.

    Args:
        filename: path of ``motoko.yaml``.

    Raises:
        ConfigError: the file, or a study's ``bd.yaml``, is not right.

    Attributes:
        config: the content of motoko.yaml, keys of your own included.
        config_path: its absolute path.
        directory: the directory it is in.
        task_managers: the task managers by name, in the order of the file.
        aliases: further names for task managers.
        run_name: names one execution of the workflow, and scopes its selections; set by the
            command line, or by you.
        finished: set it to end :meth:`execute`.
        params: the parameters that :meth:`execute` was called with.
        on_failure: ``"raise"``, so that awaiting a failed run raises ``RunFailed``, or ``"wait"``:
            then it waits on, until somebody runs it again.
        actions: what is registered, by task and event name.
    """

    def __init__(self, filename: str | os.PathLike[str]) -> None:
        self._definition: WorkflowConfig = load(filename)
        self.config = self._definition.raw
        self.config_path = str(self._definition.path)
        self.directory = str(self._definition.directory)
        self.task_managers: dict[str, TaskManager] = {
            name: TaskManager(self, name) for name in self._definition.studies
        }
        self.aliases: dict[str, str] = dict(self._definition.aliases)
        self.orchestrator_script = ".".join(self._definition.orchestrator)
        self.orchestrator_function: Callable[..., Any] | None = None
        self.run_name: str | None = None
        self.params: dict[str, Any] = {}
        self.on_failure: Literal["raise", "wait"] = "raise"
        self._execution = Execution(self)
        self._vars: WorkflowVars | None = None

    def __getattr__(self, name: str) -> TaskManager:
        managers = self.__dict__.get("task_managers", {})
        target, aliases = name, self.__dict__.get("aliases", {})
        while target not in managers and target in aliases:
            target = aliases[target]
        if target in managers:
            manager: TaskManager = managers[target]
            return manager
        raise AttributeError(
            f"the workflow has no {name!r}; its task managers are: {', '.join(managers)}"
            + (f"; aliases: {', '.join(aliases)}" if aliases else "")
        )

    @property
    def vars(self) -> WorkflowVars:
        """Values that outlive the orchestrator, stored in ``.wf/wf.db`` at each assignment."""
        if self._vars is None:
            self._vars = WorkflowVars(Path(self.directory, ".wf", "wf.db"))
        return self._vars

    @property
    def actions(self) -> dict[str, dict[str, Any]]:
        return self._execution.registered

    @property
    def finished(self) -> bool:
        return self._execution.finished

    @finished.setter
    def finished(self, value: bool) -> None:
        self._execution.finished = value

    def create(self, validated: bool | None = None) -> None:
        """Initialise every study's database, and ``.wf``; what was there is gone.

        Args:
            validated: ``True`` to ask nothing; otherwise a question is asked on the terminal if
                something would be lost.
        """
        from motoko.creation import create_workflow

        self._close()
        create_workflow(self._definition, validated=bool(validated))

    def start_launcher_daemons(self, args: argparse.Namespace | None = None) -> None:
        """Add launchers to the workflow's supervisor; start one, detached, if there is none."""
        from motoko import control

        runtime = locate(self._definition)
        if runtime is None or control.ask(runtime, "add_launchers", slots=None) is None:
            control.start_detached(self._definition.path, launchers=True)

    def get_orchestrator_function(self) -> Callable[..., Any]:
        """The orchestrator's function, loaded from the module that motoko.yaml names.

        The orchestrator's directory is importable from it. Raises ``ConfigError`` if the file or
        the function is not there; what the module itself raises comes through.
        """
        if self.orchestrator_function is None:
            from motoko.orchestrator_file import load_function

            self.orchestrator_function = load_function(self._definition)
        return self.orchestrator_function

    def add_action(
        self,
        event_name: str,
        task: str = "__all__",
        event: Any = None,
        get_params: Any = None,
        f: Callable[..., Any] | None = None,
        *,
        concurrent: bool = False,
    ) -> None:
        """Call ``f`` while a condition holds.

        Args:
            event_name: the action's name; the same name and task replaces an earlier action.
            task: the task manager it watches, or ``"__all__"``: each of them in turn.
            event: the condition: a constraint string, a list of them that all must hold, a
                function ``f(run, job)`` of each run, ``f(workflow, task_manager)`` or ``f()``, or
                a selection.
            get_params: called when the action fires; its result is passed as ``params``.
            f: the handler, async or plain. Gets ``workflow``, ``params``, the parameters of
                :meth:`execute`, and ``runs`` where the condition gives runs.
            concurrent: run this handler beside others; it never runs twice at once itself.

        Handlers run one at a time, in the order of registration, beside ``main``.
        """
        self._execution.add_action(event_name, task, event, get_params, f, concurrent)

    def add_error_handler(
        self, event: Any = "state = FAILED", f: Callable[..., Any] = no_action, **kwargs: Any
    ) -> None:
        """Call ``f`` once for runs that fail; unless it mends them, the workflow then ends.

        Args:
            event: the condition, as for :meth:`add_action`.
            f: the handler, async or plain.
            **kwargs: ``task`` and ``get_params``, as for :meth:`add_action`.
        """
        self._execution.add_error_handler(event, f, **kwargs)

    def execute(self, **params: Any) -> None:
        """Run the orchestrator and the actions until ``finished`` is set or nothing is left to do.

        Returns when ``finished`` is set, or when the orchestrator's function returns and there are
        no actions. What it or a handler raises ends everything and reaches the caller.

        Args:
            **params: passed to the orchestrator's function and to every handler.
        """
        import asyncio

        self.params = params
        try:
            asyncio.run(self._execution.run(params))
        finally:
            self._execution.close()

    def get_runs(self, run_list: Iterable[str]) -> dict[str, list[RunZEO]]:
        """The runs that references such as ``"add.1"`` name, by the task manager's name used.

        Raises ``AttributeError`` for an unknown task manager, ``KeyError`` for an unknown run.
        """
        found: dict[str, list[RunZEO]] = {}
        for uri in run_list:
            name, _, number = uri.rpartition(".")
            manager = getattr(self, name)
            found.setdefault(name, []).append(manager.base.runs.entries[int(number)])
        return found

    def is_empty(self) -> bool:
        """Whether no study has a run (of this run_name, if one is set)."""
        return not any(manager.select() for manager in self.task_managers.values())

    def _close(self) -> None:
        """Disconnect from everything; changes that are not saved are lost."""
        self._execution.close()
        for manager in self.task_managers.values():
            manager.close()
