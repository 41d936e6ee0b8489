"""A study's Python face: creating tasks in it, and selecting its runs."""

from __future__ import annotations

import asyncio
import inspect
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from motoko.config import StudyConfig
from motoko.constraints import quote
from motoko.dependencies import record, references
from motoko.errors import MotokoError, ParameterError
from motoko.parameters import check, expand, merge
from motoko.policy import WrongPolicy
from motoko.run_list import RunList
from motoko.selection import TaskSelection, TaskSelectionEval

if TYPE_CHECKING:
    from motoko.bd.base import StudyBase
    from motoko.bd.tasks import TaskCreator
    from motoko.workflow import Workflow

__all__ = ["RunList", "TaskManager", "TaskSelection", "TaskSelectionEval"]

_DO_IT = ("doIt.py",)
# What BlackDynamite compares besides the declared parameters, when it looks for an equal run.
_IDENTITY = ("run_name", "nproc", "machine_name")


class TaskManager:
    """Creates and selects the runs of one study of a workflow.

    Making it, and its attributes, connect to nothing; ``base``, :meth:`createTask` and
    :meth:`select` do.

    Args:
        workflow: the workflow it belongs to.
        study: one of the names below ``task_managers`` in motoko.yaml.

    Attributes:
        workflow: the workflow it belongs to.
        study: the study's name, which is also its directory's.
        config: its entry in motoko.yaml, as a dict; empty if it has none.
        host: where its database is served: ``zeo://`` and a path or an address.
        selector: BlackDynamite's ``RunSelector`` of the base, once something was selected.
    """

    def __init__(self, workflow: Workflow, study: str) -> None:
        self.workflow = workflow
        self.study = study
        self.definition: StudyConfig = workflow._definition.studies[study]
        self.config: dict[str, Any] = dict(self.definition.settings)
        self.host = self.definition.host or f"zeo://{self.study_dir}"
        self.selector: Any = None
        self._base: StudyBase | None = None
        self._thread = 0  # which has connected: changes are saved thread by thread

    def connect(self) -> StudyBase:
        """The same as ``base``."""
        return self.base

    @property
    def base(self) -> StudyBase:
        """The study's BlackDynamite base, connected at the first use.

        Raises ``NotCreated``, ``NoSupervisor`` or ``StudyUnavailable`` if that cannot be.
        """
        if self._base is None:
            from motoko.bd.base import connect
            from motoko.bd.session import session

            base = connect(self.definition, self.workflow._execution.served())
            base.task_manager = self
            session().attach(base)
            self._base, self._thread = base, threading.get_ident()
        return self._base

    def _refuse_other_threads(self) -> None:
        if self._base is not None and self._thread != threading.get_ident():
            raise MotokoError(
                f"study {self.study}: this Workflow object is used by another thread",
                hint="make a Workflow of its own in each thread",
            )

    @property
    def own_tid(self) -> bytes | None:
        """The newest transaction this process has been told of, if it is connected."""
        return None if self._base is None else self._base.tid

    def close(self) -> None:
        """Disconnect; changes that are not saved are lost."""
        if self._base is not None:
            from motoko.bd.session import session

            session().detach(self._base)
            self._base.close()
            self._base = None
            self.__dict__.pop("_creator", None)

    @property
    def bd_config(self) -> dict[str, Any]:
        """The content of the study's bd.yaml, read anew at each use."""
        import yaml

        with open(self.definition.directory / "bd.yaml") as file:
            content: dict[str, Any] = yaml.safe_load(file)
        return content

    @property
    def study_dir(self) -> str:
        """The absolute path of the study's directory."""
        return str(self.definition.directory)

    @property
    def bd_dir(self) -> str:
        """The absolute path of the directory that holds the study's database."""
        return str(self.definition.directory / ".bd")

    def createTask(
        self,
        run_params: dict[str, Any] | None = None,
        commit: bool = False,
        *,
        after: Any = None,
        **kwargs: Any,
    ) -> RunList:
        """Create runs, or find those that exist, for every point of a parameter space.

        Args:
            run_params: parameters of the runs, added to bd.yaml's ``run_params``.
            commit: save before returning. Otherwise the runs are saved when something is awaited,
                at the latest at the event loop's next turn; without a running loop, at once.
            after: runs that these come after, in any study: runs, pairs, ``RunList``, selections,
                names such as ``"mult.3"``. They are recorded in ``run.dependencies``, and nothing
                waits for them. (In a study with a job parameter ``after`` it is that.)
            **kwargs: job parameters, replacing those of bd.yaml's ``job_space``. A list gives one
                job for each of its elements, several lists their cartesian product, the first
                keyword varying slowest; a parameter declared ``list`` is one value.

        Returns:
            The ``(run, job)`` pairs in that order. A run that exists already is returned instead
            of a new one, whatever its state, if its job, run_name, nproc, machine_name, the
            content of ``launch.sh`` and every declared ``run:`` parameter are equal.

        Raises:
            ParameterError: a parameter is unknown, missing or of the wrong type; nothing is made.
            MotokoError: ``workflow.run_name`` is not set, or another thread uses this object.
            NotCreated, NoSupervisor, StudyUnavailable: as ``base``.
        """
        from motoko.bd.session import session

        self._refuse_other_threads()
        run_name = self.workflow.run_name
        if run_name is None:
            raise MotokoError(
                "cannot create tasks: workflow.run_name is not set",
                hint='set it (workflow.run_name = "..."), or use `motoko orchestrator start`',
            )
        frame = inspect.currentframe()
        caller = frame.f_back.f_code.co_name if frame and frame.f_back else ""
        study = self.definition
        if "after" in study.jobs and after is not None:
            kwargs, after = {"after": after, **kwargs}, None
        references([] if after is None else after)  # or fail before anything is done
        jobs = [
            check(self.study, "job", point, study.jobs)
            for point in expand(merge(study.job_space, kwargs), study.jobs)
        ]
        run = {
            "machine_name": "localhost",
            "nproc": study.policy.nproc,
            "workflow": self.workflow.config_path,
            **merge(study.run_params, run_params or {}),
            "run_name": run_name,
            "event_name": caller,
        }
        run = check(self.study, "run", run, study.runs, undeclared=True)
        try:
            study.policy.changed(run)
        except WrongPolicy as error:
            raise ParameterError(f"study {self.study}: run_params: {error}") from None
        own = () if study.policy.on_exit and not (study.directory / "doIt.py").exists() else _DO_IT
        files = [study.directory / name for name in (*own, *study.config_files)]

        def build() -> list[Any]:
            pairs = self._creator.create(
                jobs,
                run,
                executable=study.directory / "launch.sh",
                files=files,
                identity=[*_IDENTITY, *study.runs],
            )
            if after is not None:
                names = references(after)  # of runs whose own creation may have been repeated
                for made, _ in pairs:
                    record(made, names)
            return pairs

        runs: list[Any] = []
        if jobs:
            session().create(self.base, build, runs)
            if commit or not loop_is_running():
                session().commit()
        return RunList(runs)

    def select(self, constraints: str | list[str] | None = None) -> TaskSelection:
        """The runs that meet constraints, as a live selection.

        Args:
            constraints: ``None`` for all runs; a string with constraints separated by ``,`` or
                ``and``; or a list of such strings, which all must hold. With a
                ``workflow.run_name``, only its runs are selected.

        Texts that are no constraints raise ``ConstraintError`` when the selection is first used.
        Raises ``MotokoError`` if another thread uses this object.
        """
        self._refuse_other_threads()
        wanted = [constraints] if isinstance(constraints, str) else list(constraints or [])
        if self.workflow.run_name is not None:
            wanted.append(f"runs.run_name = {quote(self.workflow.run_name)}")
        if self.selector is None:
            from BlackDynamite.runselector import RunSelector

            self.selector = RunSelector(self.base)
        return TaskSelection(wanted, self.selector, self.base, self.study)

    @cached_property
    def _creator(self) -> TaskCreator:
        from motoko.bd.tasks import TaskCreator

        return TaskCreator(self.base)

    def __repr__(self) -> str:
        return f"TaskManager({self.study!r})"


def loop_is_running() -> bool:
    """Whether the caller runs inside an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
