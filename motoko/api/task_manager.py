"""A study's Python interface: creating tasks in the study, and selecting its runs."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from motoko.api.dependencies import record, references
from motoko.api.engine import Engine
from motoko.api.file_notices import warn_of_changes, warn_of_scripts
from motoko.api.parameters import check, expand, merge, refuse_reserved
from motoko.api.points import on_space, place, points_of
from motoko.api.precursors import precursors
from motoko.api.run_list import RunList
from motoko.api.selection import TaskSelection, TaskSelectionEval
from motoko.config import StudyConfig
from motoko.config.bd_defaults import parameter_file
from motoko.config.decoding import WrongValue
from motoko.errors import ParameterError, WrongUse
from motoko.runs.run_policy import policy_of
from motoko.store.literals import quote

if TYPE_CHECKING:
    from motoko.store.base import StudyBase
    from motoko.store.task_creator import TaskCreator

__all__ = ["RunList", "TaskManager", "TaskSelection", "TaskSelectionEval"]

log = logging.getLogger(__name__)

# The entries that BlackDynamite compares, besides the declared parameters, to find an equal run.
_IDENTITY = ("run_name", "nproc", "machine_name")


AT_ONCE = 1_000  # runs that are made and saved together


class HasEngine(Protocol):
    """An object with an engine: the workflow that task managers belong to."""

    @property
    def motoko_engine(self) -> Engine:
        """The engine that the workflow's parts share."""


class TaskManager:
    """Creates and selects the runs of one study of a workflow.

    Making a task manager, and reading its attributes, does not connect to the study's server;
    ``base``, :meth:`createTask` and :meth:`select` connect.

    Args:
        workflow: the workflow that the study belongs to.
        study: one of the names below ``task_managers`` in motoko.yaml.

    Attributes:
        workflow: the ``Workflow`` that the study belongs to.
        study: the study's name, which is also its directory's.
        config: the study's entry in motoko.yaml, as a dict; empty if it has none.
        host: where the study's database is served: ``zeo://`` and a path or an address.
        selector: BlackDynamite's ``RunSelector`` of the base, once something was selected.
        engine: what the task manager shares with the workflow's other parts.
        made: how many runs the last creation has made, rather than found.
    """

    def __init__(self, workflow: HasEngine, study: str) -> None:
        self.workflow: Any = workflow
        self.study = study
        self.engine = workflow.motoko_engine
        self.definition: StudyConfig = self.engine.definition.studies[study]
        self.config: dict[str, Any] = dict(self.definition.settings)
        self.host = self.definition.host or f"zeo://{self.study_dir}"
        self.selector: Any = None
        self.made = 0
        self._creator: TaskCreator | None = None

    def connect(self) -> StudyBase:
        """The same as ``base``."""
        return self.base

    @property
    def base(self) -> StudyBase:
        """The study's BlackDynamite base, connected at the first use.

        Raises ``NotCreated``, ``NoSupervisor`` or ``StudyUnavailable`` if it cannot be connected.
        """
        base = self.engine.base(self.study)
        base.task_manager = self  # so that code that has a run finds its task manager
        return base

    def _refuse_other_threads(self) -> None:
        if self.engine.is_another_threads(self.study):
            raise WrongUse(
                f"study {self.study}: this Workflow object is used by another thread",
                hint="make a Workflow of its own in each thread",
            )

    @property
    def own_tid(self) -> bytes | None:
        """The newest transaction this process has been told of, if it is connected."""
        return self.engine.own_tid(self.study)

    def close(self) -> None:
        """Disconnect; this study's unsaved changes are lost. The next use connects again."""
        self.engine.disconnect(self.study)

    @property
    def bd_config(self) -> dict[str, Any]:
        """The content of the study's bd.yaml, read anew at each use; may raise ``ConfigError``."""
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
        **kwargs: Any,
    ) -> RunList:
        """Create runs, or find those that exist, for every point of a parameter space.

        Args:
            run_params: parameters of the runs, added to bd.yaml's ``run_params``.
            commit: save before returning. Otherwise the runs are saved when something is awaited,
                at the latest at the event loop's next turn; without a running loop, at once. More
                than 1,000 runs are saved in parts, before this method returns.
            points: points that are not a product: dicts of job parameters, or a pandas DataFrame
                with a point in each row. The other job parameters of the call are for all points; a
                list among them gives one job for each of its elements and each point. (If the study
                has a job parameter ``points``, this argument is that parameter, and
                :meth:`create_runs` takes the points.)
            after: runs that the new runs come after, in any study: runs, pairs, ``RunList``,
                selections, names such as ``"mult.3"``. They are recorded in ``run.dependencies``,
                and nothing waits for them. (If the study has a job parameter ``after``, this
                argument is that parameter.)
            **kwargs: job parameters, replacing those of bd.yaml's ``job_space``. A list gives one
                job for each of its elements, several lists their cartesian product, the first
                keyword varying slowest; a parameter declared ``list`` is one value.

        Returns:
            The ``(run, job)`` pairs, in the order of the product or of the points; equal points
            give the same pair. A run that exists already is returned instead of a new one,
            whatever its state, if its job, run_name, nproc, machine_name, the content of
            ``launch.sh`` and every declared ``run:`` parameter are equal.

        Raises:
            ParameterError: a parameter is unknown, missing or of the wrong type, or has a name or a
                value that it cannot have; no run is made.
            MotokoError: ``workflow.run_name`` is not set, another thread uses this object, or a
                file of the study refers to a parameter that does not exist.
            NotCreated, NoSupervisor, StudyUnavailable: as ``base``.
        """
        frame = inspect.currentframe()
        caller = frame.f_back.f_code.co_name if frame and frame.f_back else ""
        # In a study that declares them, "after" and "points" are ordinary job parameters.
        own = [name for name in ("after", "points") if name not in self.definition.jobs]
        given = {name: kwargs.pop(name, None) for name in own}
        return self.create_runs(
            given.get("points"),
            kwargs,
            run_params=run_params,
            commit=commit,
            after=given.get("after"),
            caller=caller,
        )

    def create_runs(
        self,
        points: Any,
        values: Mapping[str, Any],
        *,
        run_params: Mapping[str, Any] | None = None,
        commit: bool = False,
        after: Any = None,
        caller: str = "",
        place: Callable[[int], str] = place,
    ) -> RunList:
        """Do what :meth:`createTask` does, whatever the names of the study's parameters.

        Args:
            points: as in :meth:`createTask`; ``None`` if ``values`` alone gives the jobs.
            values: job parameters by name.
            run_params: as in :meth:`createTask`.
            commit: as in :meth:`createTask`.
            after: as in :meth:`createTask`.
            caller: the value of ``run.event_name``.
            place: gives a point's name in errors, from its number (which counts from 0).
        """
        self._refuse_other_threads()
        self.engine.check_writable("createTask()")
        run_name = self.engine.run_name
        if run_name is None:
            raise WrongUse(
                "cannot create tasks: workflow.run_name is not set",
                hint='set it (workflow.run_name = "..."), or use `motoko orchestrator start`',
            )
        study = self.definition
        references([] if after is None else after)  # fails now, before anything is done
        space = merge(study.job_space, values)
        if points is None:
            jobs = [check(self.study, "job", job, study.jobs) for job in expand(space, study.jobs)]
        else:
            fixed = [name.lower() for name in values]
            listed = points_of(self.study, points)
            jobs = on_space(self.study, space, listed, study.jobs, fixed=fixed, named=place)
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
        return RunList(
            self._created(jobs, run, commit, after), engine=self.engine, study=self.study
        )

    def _created(
        self, jobs: list[dict[str, Any]], run: dict[str, Any], commit: bool, after: Any
    ) -> list[Any]:
        """The pairs, with a run for each job's values; many runs are saved in parts."""
        from motoko.store.session import session

        def build(part: list[dict[str, Any]]) -> list[Any]:
            identity = [*_IDENTITY, *self.definition.runs]
            creator = self._creator_in(self.base)
            pairs = creator.create(part, run, identity=identity, created_after=created_after)
            if after is not None:
                names = references(after)  # of runs whose own creation may have been repeated
                for made, _ in pairs:
                    record(made, names)
            return pairs

        self.made = 0
        created_after = precursors()
        runs: list[Any] = []
        if jobs:
            warn_of_scripts(self.definition)
        in_parts = len(jobs) > AT_ONCE
        for first in range(0, len(jobs), AT_ONCE):
            part = runs if not in_parts else []
            session().create(self.base, partial(build, jobs[first : first + AT_ONCE]), part)
            warn_of_changes(self._creator_in(self.base), run["run_name"])
            if in_parts or commit or not loop_is_running():
                session().commit()
            self.made += self._creator_in(self.base).made
            if in_parts:
                runs += part
        return runs

    def select(self, constraints: str | list[str] | None = None) -> TaskSelection:
        """The runs that meet constraints, as a live selection.

        Args:
            constraints: ``None`` for all runs; a string with constraints separated by ``,`` or
                ``and``; or a list of such strings, all of which must hold. If
                ``workflow.run_name`` is set, only its runs are selected.

        A text that is not a constraint raises ``ConstraintError`` at the selection's first use.
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
        """The creator, which knows the jobs that it has made; a new one for each new base."""
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
