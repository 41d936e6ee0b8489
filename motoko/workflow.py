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
from motoko.errors import MotokoError
from motoko.execution import Execution
from motoko.task_manager import TaskManager, loop_is_running
from motoko.vars import WorkflowVars

if TYPE_CHECKING:
    from BlackDynamite.run_zeo import RunZEO


__all__ = ["Workflow", "event"]

OnFailure = Literal["raise", "wait"]


def event(func: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an action's handler: an async (or plain) function, whose changes are then saved.

    The result is an async function of the same name and arguments. It is optional: handlers that
    are not marked are called and saved in the same way.
    """

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
        params: the parameters that :meth:`execute` was called with.
        orchestrator_script: what motoko.yaml says: ``"orchestrator.main"``.
        orchestrator_function: the function, once :meth:`get_orchestrator_function` has loaded it;
            set it to have :meth:`execute` call another one.
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
        self._on_failure: OnFailure = "raise"
        self._execution = Execution(self)
        self._vars: WorkflowVars | None = None

    def __getattr__(self, name: str) -> TaskManager:
        return self._manager(name)

    def _manager(self, name: str) -> TaskManager:
        """The task manager of a name or alias, even of an alias that an attribute hides."""
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
            path = Path(self.directory, ".wf", "wf.db")
            self._vars = WorkflowVars(path, self._execution.tell_of_var)
        return self._vars

    @property
    def actions(self) -> dict[str, dict[str, Any]]:
        """What is registered: ``(event, f, get_params)`` by task and event name."""
        return self._execution.registered

    @property
    def on_failure(self) -> OnFailure:
        """What awaiting created runs does when one has failed.

        ``"raise"`` (the default) raises ``RunFailed``; ``"wait"`` waits on, until somebody runs it
        again. Setting anything else raises ``MotokoError``.
        """
        return self._on_failure

    @on_failure.setter
    def on_failure(self, value: OnFailure) -> None:
        if value not in ("raise", "wait"):
            raise MotokoError(
                f"workflow.on_failure is {value!r}", hint='it can be "raise" or "wait"'
            )
        self._on_failure = value

    @property
    def finished(self) -> bool:
        """Whether :meth:`execute` has been told to end; set it to ``True`` to end it.

        :meth:`execute` sets it to ``False`` when it begins.
        """
        return self._execution.finished

    @finished.setter
    def finished(self, value: bool) -> None:
        self._execution.finished = value

    def create(self, validated: bool | None = None) -> None:
        """Initialise every study's database, and ``.wf``; what was there is gone.

        Leaves nothing running: what supervised the workflow is stopped.

        Args:
            validated: ``True`` to ask nothing; otherwise a question is asked on the terminal if
                something would be lost. If the answer is no, only missing studies are made.

        Raises:
            MotokoError: something would be lost, and there is no terminal to ask on.
        """
        from motoko.creation import create_workflow

        self._close()
        create_workflow(self._definition, validated=bool(validated))

    def start_launcher_daemons(self, args: argparse.Namespace | None = None) -> None:
        """Add launchers to the workflow's supervisor; start one, detached, if there is none.

        Args:
            args: as ``motoko launcher`` has them: ``bd_study`` names the one study (or alias) whose
                launcher is wanted, ``"all"`` or its absence means all of them.

        Returns when they are ready. Raises ``NoSupervisor`` inside a run, ``MotokoError`` with the
        end of its log if a launcher does not start.
        """
        from motoko.launchers import add_launchers

        name = getattr(args, "bd_study", None) or "all"
        add_launchers(
            self._definition,
            None if name == "all" else self._manager(name).definition,
            generator=getattr(args, "generator", None),
        )

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

        Handlers run one at a time, in the order of registration, beside ``main``. A handler is
        called when its condition becomes true or selects other runs, and again every two seconds
        while it is true.

        Raises ``MotokoError`` for what is no condition or no handler, ``AttributeError`` for an
        unknown task.
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

        There is one for each ``task``: a second one replaces it.
        """
        self._execution.add_error_handler(event, f, **kwargs)

    def execute(self, **params: Any) -> None:
        """Run the orchestrator and the actions until ``finished`` is set or nothing is left to do.

        Returns when ``finished`` is set, or when the orchestrator's function returns and there are
        no actions. What it or a handler raises ends everything and reaches the caller.

        Args:
            **params: passed to the orchestrator's function and to every handler.

        Raises:
            OrchestratorRunning: another process or object executes under this ``run_name``.
            WorkflowStopped: the workflow was stopped meanwhile.
            MotokoError: called where an event loop is running already, in a notebook for instance.
        """
        import asyncio

        if loop_is_running():
            raise MotokoError(
                "execute() runs an event loop of its own, and one is running here already",
                hint="await here what createTask() and select() return: neither needs execute()",
            )
        self.params = params
        self.finished = False
        try:
            asyncio.run(self._execution.run(params))
        finally:
            self._execution.close()

    def get_runs(self, run_list: Iterable[str]) -> dict[str, list[RunZEO]]:
        """The runs that references such as ``"add.1"`` name, by the task manager's name used.

        Args:
            run_list: a study's name or alias, a dot and a run's ``id`` in each.

        Raises:
            AttributeError: unknown task manager.
            KeyError: unknown run.
            MotokoError: a text that is no reference.
        """
        from motoko.bd.session import session

        found: dict[str, list[RunZEO]] = {}
        for uri in run_list:
            name, _, number = uri.rpartition(".")
            if not name or not number.isdecimal():
                raise MotokoError(f"{uri!r} names no run", hint='write "study.id": "add.1"')
            base = self._manager(name).base
            session().look()
            found.setdefault(name, []).append(base.runs.entries[int(number)])
        return found

    def is_empty(self) -> bool:
        """Whether no study has a run (of this run_name, if one is set)."""
        return not any(manager.select() for manager in self.task_managers.values())

    def _close(self) -> None:
        """Disconnect from everything; changes that are not saved are lost."""
        self._execution.close()
        for manager in self.task_managers.values():
            manager.close()
