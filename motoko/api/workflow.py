"""A workflow: its studies, its actions, and the execution of its orchestrator."""

from __future__ import annotations

import argparse
import functools
import inspect
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from motoko.api.engine import Engine, OnFailure
from motoko.api.execution import Execution
from motoko.api.passed_arguments import taken
from motoko.api.precursors import begin_history
from motoko.api.reactions import Reactions
from motoko.api.task_manager import TaskManager, loop_is_running
from motoko.config import WorkflowConfig, load
from motoko.config.study_config import GIVING_WAY
from motoko.errors import WrongUse
from motoko.runs.references import reference
from motoko.store.workflow_vars import WorkflowVars

if TYPE_CHECKING:
    from motoko.api.progress import Progress
    from motoko.store.bd_objects import RunZEO


__all__ = ["Workflow", "event"]


def event(func: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an action's handler: an async (or plain) function, whose changes are then saved.

    The result is an async function of the same name and arguments. It is optional: handlers that
    are not marked are called and saved in the same way.
    """

    @functools.wraps(func)
    async def handler(*args: Any, **kwargs: Any) -> Any:
        from motoko.store.session import session

        result = func(*args, **kwargs)
        if inspect.isawaitable(result):
            result = await result
        session().commit()
        return result

    return handler


def no_action(*args: Any, **kwargs: Any) -> None:
    """The default error handler: it does nothing."""


class Workflow:
    """The workflow that a ``motoko.yaml`` describes.

    Its task managers are attributes, by their names and aliases (so names that are not for users
    start with an underscore). Making the object only reads files: it starts, locks and prints
    nothing.

    Args:
        filename: path of ``motoko.yaml``.
        read_only: only read: select, tables, progress, and awaits of runs that have ended. That
            needs no daemon, and starts none. ``createTask``, ``execute``, other awaits, and saving
            a change raise ``ReadOnly``, which is a ``MotokoError``. Each call of ``select`` sees
            the studies as they are then.

    Raises:
        ConfigError: the file, or a study's ``bd.yaml``, is not right.

    Attributes:
        config: the content of motoko.yaml, keys of your own included.
        config_path: the absolute path of motoko.yaml.
        directory: the directory of motoko.yaml.
        task_managers: the task managers by name, in the order of the file.
        aliases: further names for task managers.
        orchestrator_script: the orchestrator's name in motoko.yaml: ``"orchestrator.main"``.
        orchestrator_function: the function, once :meth:`get_orchestrator_function` has loaded it;
            set it to make :meth:`execute` call another function.
    """

    def __init__(self, filename: str | os.PathLike[str], *, read_only: bool = False) -> None:
        definition = load(filename)
        begin_history()
        self._engine = self._made_engine(definition, read_only=read_only)
        self.config = definition.raw
        self.config_path = str(definition.path)
        self.directory = str(definition.directory)
        self.task_managers: dict[str, TaskManager] = {
            name: TaskManager(self, name) for name in definition.studies
        }
        self.aliases: dict[str, str] = dict(definition.aliases)
        self.orchestrator_script = ".".join(definition.orchestrator)
        self.orchestrator_function: Callable[..., Any] | None = None
        self._reactions = Reactions(self._engine, self.task_managers, self._manager)
        self._vars: WorkflowVars | None = None
        for name in GIVING_WAY & {*definition.studies, *definition.aliases}:
            vars(self)[name] = self._manager(name)

    def _made_engine(self, definition: WorkflowConfig, *, read_only: bool) -> Engine:
        from motoko.api.reading import ReadingEngine

        return ReadingEngine(definition) if read_only else Engine(definition)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._engine.close()

    def close(self) -> None:
        """Disconnect from everything; unsaved changes are lost.

        ``with Workflow(...) as workflow:`` closes the workflow at the end of the block. Closing
        twice is fine. A closed workflow connects again when it is used; runs and jobs obtained
        before must not be used any more.

        In a workflow with a study (or an alias) named ``close``, this name is the study's, as in
        every version of Motoko. Use ``with`` there.
        """
        self._engine.close()

    def progress(self) -> Progress:
        """Show how many runs are in which state, while a block of code runs.

        ``with workflow.progress(): await runs`` shows a live table in a notebook's cell, or on a
        terminal; lines elsewhere. Runs of this workflow's ``run_name`` are counted; all, if it has
        none. In a workflow with a study named ``progress`` this name is the study's.
        """
        from motoko.api.progress import Progress

        return Progress(self)

    @property
    def motoko_engine(self) -> Engine:
        """For Motoko's own commands and tools: the engine that the parts of this object share."""
        return self._engine

    @property
    def run_name(self) -> str | None:
        """Names one execution of the workflow, and scopes its selections."""
        return self._engine.run_name

    @run_name.setter
    def run_name(self, value: str | None) -> None:
        if value is not None and not str(value).strip():
            raise WrongUse("workflow.run_name is empty", hint="name it, or leave it None")
        self._engine.run_name = value

    @property
    def params(self) -> dict[str, Any]:
        """The parameters that :meth:`execute` was called with."""
        return self._engine.params

    @params.setter
    def params(self, value: dict[str, Any]) -> None:
        self._engine.params = value

    @property
    def vars(self) -> WorkflowVars:
        """Values that outlive the orchestrator, stored in ``.wf/wf.db`` at each assignment."""
        if self._vars is None:
            path = Path(self.directory, ".wf", "wf.db")
            engine = self._engine
            self._vars = WorkflowVars(path, engine.publish_var, engine.check_writable)
        return self._vars

    @property
    def actions(self) -> dict[str, dict[str, Any]]:
        """The registered actions: ``(event, f, get_params)`` by task and event name."""
        return self._reactions.registered

    @property
    def on_failure(self) -> OnFailure:
        """What awaiting created runs does when one has failed.

        ``"raise"`` (the default) raises ``RunFailed``; ``"wait"`` keeps waiting until the run is
        retried and finishes. Setting anything else raises ``MotokoError``.
        """
        return self._engine.on_failure

    @on_failure.setter
    def on_failure(self, value: OnFailure) -> None:
        if value not in ("raise", "wait"):
            raise WrongUse(f"workflow.on_failure is {value!r}", hint='it can be "raise" or "wait"')
        self._engine.on_failure = value

    @property
    def finished(self) -> bool:
        """Whether :meth:`execute` has been told to end; set it to ``True`` to end it.

        :meth:`execute` sets it to ``False`` when it begins.
        """
        return self._engine.finished

    @finished.setter
    def finished(self, value: bool) -> None:
        self._engine.finished = value

    def create(self, validated: bool | None = None) -> None:
        """Initialise every study's database, and ``.wf``; their previous contents are deleted.

        Leaves nothing running: the workflow's supervisor is stopped.

        Args:
            validated: ``True`` to ask nothing; otherwise a question is asked on the terminal if
                something would be lost. If the answer is no, only missing studies are created.

        Raises:
            NotConfirmed: something would be lost, and there is no terminal to ask on.
        """
        from motoko.operations.creation import create_workflow

        self._engine.check_writable("create()")
        self._engine.close()
        create_workflow(self._engine.definition, validated=bool(validated))

    def start_launcher_daemons(self, args: argparse.Namespace | None = None) -> None:
        """Add launchers to the workflow's supervisor; start one, detached, if there is none.

        Args:
            args: the arguments of ``motoko launcher``: ``bd_study`` names the one study (or alias)
                whose launcher is wanted; ``"all"``, or its absence, means all studies.

        Returns when the launchers are ready. Raises ``NoSupervisor`` inside a run, and
        ``MotokoError``, with the end of its log, if a launcher does not start.
        """
        from motoko.operations.adding_launchers import add_launchers

        self._engine.check_writable("start_launcher_daemons()")
        name = getattr(args, "bd_study", None)
        name = "all" if name is None else name
        add_launchers(
            self._engine.definition,
            None if name == "all" else self._manager(name).definition,
            generator=getattr(args, "generator", None),
        )

    def get_orchestrator_function(self) -> Callable[..., Any]:
        """The orchestrator's function, loaded from the module that motoko.yaml names.

        The module can import other modules of its directory. Raises ``ConfigError`` if the file or
        the function does not exist; exceptions of the module itself are passed on.
        """
        if self.orchestrator_function is None:
            from motoko.api.orchestrator_file import load_function

            self.orchestrator_function = load_function(self._engine.definition)
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
            task: the task manager that the action watches, or ``"__all__"``: each of them in turn.
            event: the condition: a constraint string, a list of them that all must hold, a
                function ``f(run, job)`` of each run, ``f(workflow, task_manager)`` or ``f()``, or
                a selection.
            get_params: called when the action fires; its result is passed as ``params``.
            f: the handler, async or plain. Gets ``workflow``, ``params``, the parameters of
                :meth:`execute`, and ``runs`` where the condition gives runs.
            concurrent: run this handler alongside other handlers; it never runs twice at once.

        Handlers run one at a time, in the order of registration, alongside ``main``. A handler is
        called when its condition becomes true or selects other runs, and again every two seconds
        while it is true.

        Raises ``MotokoError`` if the condition or the handler is not valid, and ``AttributeError``
        for an unknown task.
        """
        self._reactions.add_action(event_name, task, event, get_params, f, concurrent)

    def add_error_handler(
        self, event: Any = "state = FAILED", f: Callable[..., Any] = no_action, **kwargs: Any
    ) -> None:
        """Call ``f`` once for runs that fail; unless it mends them, the workflow then ends.

        Args:
            event: the condition, as for :meth:`add_action`.
            f: the handler, async or plain.
            **kwargs: ``task`` and ``get_params``, as for :meth:`add_action`.

        There is one error handler for each ``task``: a second one replaces the first.
        """
        self._reactions.add_error_handler(event, f, **kwargs)

    def execute(self, **params: Any) -> None:
        """Run the orchestrator and the actions until ``finished`` is set or nothing is left to do.

        Returns when ``finished`` is set, or when the orchestrator's function returns and there are
        no actions. An exception of this function or of a handler ends everything and reaches the
        caller.

        Args:
            **params: passed to the orchestrator's function and to every handler.

        Raises:
            OrchestratorRunning: another process or object executes under this ``run_name``.
            WorkflowStopped: the workflow was stopped meanwhile.
            MotokoError: this object is being executed already; or called where an event loop is
                running, in a notebook for instance.

        It may be called again when it has returned, and at the same time by other threads, each
        with a Workflow and a ``run_name`` of its own.
        """
        import asyncio

        from motoko.store.session import session

        if loop_is_running():
            raise WrongUse(
                "execute() runs an event loop of its own, and one is running here already",
                hint="await here what createTask() and select() return: neither needs execute()",
            )
        with self._engine.executing(params):
            asyncio.run(self._executed())
        # Errors that a task could no longer be told of, because it was cancelled, are raised here.
        session().raise_unseen()

    async def _executed(self) -> None:
        function = self.get_orchestrator_function()
        execution = Execution(self._engine, self._reactions, self.task_managers)
        await execution.run(lambda: function(self, **taken(function, self.params)))

    def get_runs(self, run_list: Iterable[str]) -> dict[str, list[RunZEO]]:
        """The runs that references such as ``"add.1"`` name, by the name of the study used in them.

        Args:
            run_list: texts, each with a study's name or alias, a dot and a run's ``id``.

        Raises:
            AttributeError: unknown task manager.
            KeyError: unknown run.
            MotokoError: a text is not such a reference.
        """
        from motoko.store.session import session

        runs: dict[str, list[RunZEO]] = {}
        for text in run_list:
            run = reference(text)
            if run is None:
                raise WrongUse(f"{text!r} names no run", hint='write "study.id": "add.1"')
            base = self._manager(run.study).base
            session().look()
            runs.setdefault(run.study, []).append(base.runs.entries[run.run_id])
        return runs

    def is_empty(self) -> bool:
        """Whether no study has a run (of this run_name, if one is set)."""
        return not any(manager.select() for manager in self.task_managers.values())
