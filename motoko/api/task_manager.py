"""A study's Python face: creating tasks in it, and selecting its runs."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any, Protocol

from motoko.api.dependencies import record, references
from motoko.api.engine import Engine
from motoko.api.file_notices import warn_of_changes, warn_of_scripts
from motoko.api.parameters import check, expand, merge, refuse_reserved
from motoko.api.run_list import RunList
from motoko.api.selection import TaskSelection, TaskSelectionEval
from motoko.config import StudyConfig
from motoko.config.bd_defaults import parameter_file
from motoko.config.decoding import WrongValue
from motoko.errors import MotokoError, ParameterError
from motoko.runs.run_policy import policy_of
from motoko.store.literals import quote

if TYPE_CHECKING:
    from motoko.store.base import StudyBase
    from motoko.store.task_creator import TaskCreator

__all__ = ["RunList", "TaskManager", "TaskSelection", "TaskSelectionEval"]

log = logging.getLogger(__name__)

# What BlackDynamite compares besides the declared parameters, when it looks for an equal run.
_IDENTITY = ("run_name", "nproc", "machine_name")


class HasEngine(Protocol):
    """The workflow of task managers, whatever else it is."""

    @property
    def motoko_engine(self) -> Engine:
        """What its parts share."""


class TaskManager:
    """Creates and selects the runs of one study of a workflow.

    Making it, and its attributes, connect to nothing; ``base``, :meth:`createTask` and
    :meth:`select` do.

    Args:
        workflow: the workflow it belongs to.
        study: one of the names below ``task_managers`` in motoko.yaml.

    Attributes:
        workflow: the ``Workflow`` it belongs to.
        study: the study's name, which is also its directory's.
        config: its entry in motoko.yaml, as a dict; empty if it has none.
        host: where its database is served: ``zeo://`` and a path or an address.
        selector: BlackDynamite's ``RunSelector`` of the base, once something was selected.
        engine: what it shares with the workflow's other parts.
    """

    def __init__(self, workflow: HasEngine, study: str) -> None:
        self.workflow: Any = workflow
        self.study = study
        self.engine = workflow.motoko_engine
        self.definition: StudyConfig = self.engine.definition.studies[study]
        self.config: dict[str, Any] = dict(self.definition.settings)
        self.host = self.definition.host or f"zeo://{self.study_dir}"
        self.selector: Any = None
        self._creator: TaskCreator | None = None

    def connect(self) -> StudyBase:
        """The same as ``base``."""
        return self.base

    @property
    def base(self) -> StudyBase:
        """The study's BlackDynamite base, connected at the first use.

        Raises ``NotCreated``, ``NoSupervisor`` or ``StudyUnavailable`` if that cannot be.
        """
        base = self.engine.base(self.study)
        base.task_manager = self  # for those who have a run, and look for this
        return base

    def _refuse_other_threads(self) -> None:
        if self.engine.is_another_threads(self.study):
            raise MotokoError(
                f"study {self.study}: this Workflow object is used by another thread",
                hint="make a Workflow of its own in each thread",
            )

    @property
    def own_tid(self) -> bytes | None:
        """The newest transaction this process has been told of, if it is connected."""
        return self.engine.own_tid(self.study)

    def close(self) -> None:
        """Disconnect; changes of this study that are not saved are lost. It connects again."""
        self.engine.disconnect(self.study)

    @property
    def bd_config(self) -> dict[str, Any]:
        """The content of the study's bd.yaml, read anew at each use; or ``ConfigError``."""
        return parameter_file(self.definition.directory / "bd.yaml")

    @property
    def study_dir(self) -> str:
        """The absolute path of the study's directory."""
        return str(self.definition.directory)

    @property
    def bd_dir(self) -> str:
        """The absolute path of the directory that holds the study's database."""
        return str(self.definition.database.directory)

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
            ParameterError: a parameter is unknown, missing or of the wrong type, or has a name or a
                value that it cannot have; nothing is made.
            MotokoError: ``workflow.run_name`` is not set, another thread uses this object, or a
                file of the study asks for a parameter that is not there.
            NotCreated, NoSupervisor, StudyUnavailable: as ``base``.
        """
        from motoko.store.session import session

        self._refuse_other_threads()
        run_name = self.engine.run_name
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
        ours = {"workflow": str(self.engine.definition.path), "run_name": run_name}
        refuse_reserved(self.study, run_params or {}, ours)
        run = {
            "machine_name": "localhost",
            "nproc": study.policy.nproc,
            "event_name": caller,
            **merge(study.run_params, run_params or {}),
            **ours,
        }
        run = check(self.study, "run", run, study.runs, undeclared=True)
        try:
            policy_of(study, run)
        except WrongValue as error:
            raise ParameterError(
                f"study {self.study}: run_params: {error}", hint=error.hint
            ) from None

        def build() -> list[Any]:
            pairs = self._creator_in(self.base).create(
                jobs,
                run,
                identity=[*_IDENTITY, *study.runs],
            )
            if after is not None:
                names = references(after)  # of runs whose own creation may have been repeated
                for made, _ in pairs:
                    record(made, names)
            return pairs

        runs: list[Any] = []
        if jobs:
            warn_of_scripts(study)
            session().create(self.base, build, runs)
            warn_of_changes(self._creator_in(self.base), run_name)
            if commit or not loop_is_running():
                session().commit()
        return RunList(runs, engine=self.engine)

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
        if self.engine.run_name is not None:
            wanted.append(f"runs.run_name = {quote(self.engine.run_name)}")
        base = self.base
        if self.selector is None:
            self.selector = base.selector()
        return TaskSelection(wanted, self.selector, base, self.study, engine=self.engine)

    def _creator_in(self, base: StudyBase) -> TaskCreator:
        """What knows of the jobs it has made; another one once the base is another."""
        from motoko.store.declarations import differences, warning
        from motoko.store.task_creator import TaskCreator

        if self._creator is None or self._creator.base is not base:
            self._creator = TaskCreator(base)
            if differing := differences(base):
                log.warning("%s", warning(self.study, differing))
        return self._creator

    def __repr__(self) -> str:
        return f"TaskManager({self.study!r})"


def loop_is_running() -> bool:
    """Whether the caller runs inside an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
