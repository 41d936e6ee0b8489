"""A dry run: the orchestrator on copies of the databases in memory, where no run is executed.

The dry run works in a directory of its own, whose entries are links to the workflow's; files that
Motoko writes next to a database go there. Runs are FINISHED at once, with results from the study's
``stub.py``, or with the results of the same job's last finished run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import shutil
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.api.engine import Engine
from motoko.api.user_modules import spec_of
from motoko.api.workflow import Workflow
from motoko.bus.dispatcher import Counters
from motoko.bus.messages import Message, Transition
from motoko.bus.waiters import Interest, Waiter, Waiters
from motoko.config import WorkflowConfig
from motoko.config.database_files import DatabaseFiles
from motoko.config.run_files import LAUNCH, STUB
from motoko.errors import ConfigError, MotokoError
from motoko.layout import Runtime
from motoko.runs.entries import OwnEntries
from motoko.runs.entry_table import PREFIX
from motoko.runs.outcomes import Outcome, outcome
from motoko.runs.paths import run_directory
from motoko.runs.placeholders import fill
from motoko.runs.states import FINISHED, WAITING_STATES, state_of

LOOK_S = 0.01
IDLE_S = 10.0  # nothing may happen for this long while something is awaited


class NothingHappens(MotokoError):
    """A dry run waits for something that only an executed run could bring about."""


@dataclass(frozen=True)
class StudyRehearsal:
    """What an execution would do in a study.

    Attributes:
        study: the study's name.
        new: the numbers of the runs that would be executed.
        existing: the numbers of the run_name's runs that existed already.
        launch: the launch.sh of the first new run, as it would be executed; empty without new runs.
    """

    study: str
    new: list[int]
    existing: list[int]
    launch: str


@contextlib.contextmanager
def rehearsed(config: WorkflowConfig) -> Iterator[RehearsedWorkflow]:
    """A workflow that can be executed, and that leaves nothing behind afterwards."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="motoko-dry-run-") as made:
        place = Path(made) / config.directory.name
        _link(config, place)
        with RehearsedWorkflow(place / config.path.name, config) as workflow:
            yield workflow


def _link(config: WorkflowConfig, place: Path) -> None:
    studies = {study.directory.name: study for study in config.studies.values()}
    place.mkdir()
    for entry in config.directory.iterdir():
        if entry.name not in (*studies, ".wf"):
            (place / entry.name).symlink_to(entry)
    for name, study in studies.items():
        (place / name).mkdir()
        for entry in study.directory.iterdir():
            if entry.name != ".bd":
                (place / name / entry.name).symlink_to(entry)
        files, real = DatabaseFiles.of(place / name), study.database
        files.directory.mkdir()
        if study.is_local and real.contents.is_dir():
            shutil.copytree(real.contents, files.contents, copy_function=_linked)
    (place / ".wf").mkdir()
    with contextlib.suppress(FileNotFoundError):
        shutil.copy(config.directory / ".wf" / "wf.db", place / ".wf" / "wf.db")


def _linked(source: str, target: str) -> None:
    Path(target).symlink_to(source)


class RehearsedWorkflow(Workflow):
    """The workflow of a dry run.

    Attributes:
        rehearsed: the engine that its parts share.
    """

    rehearsed: RehearsedEngine

    def __init__(self, path: Path, real: WorkflowConfig) -> None:
        self._real = real
        super().__init__(path)

    def _made_engine(self, definition: WorkflowConfig, *, read_only: bool) -> Engine:
        self.rehearsed = RehearsedEngine(definition, self._real)
        return self.rehearsed


class RehearsedEngine(Engine):
    """Opens copies of the databases, and sets their waiting runs to FINISHED.

    Args:
        definition: the workflow in the dry run's directory.
        real: the workflow itself.

    Attributes:
        finished_runs: by study, the numbers of the runs that would be executed, in that order.
    """

    def __init__(self, definition: WorkflowConfig, real: WorkflowConfig) -> None:
        super().__init__(definition)
        self.starts_supervisor = False
        self.finished_runs: dict[str, list[int]] = {name: [] for name in definition.studies}
        self._real = real
        self._bases: dict[str, Any] = {}
        self._tids: dict[str, bytes] = {}  # each study's newest transaction at the last play()
        self._states: dict[str, dict[int, str]] = {}  # the states of the runs at that time
        self._existing: dict[str, list[int]] = {}
        self._stubs = {name: _stub(s.directory) for name, s in definition.studies.items()}

    def served(self) -> Runtime | None:
        """No server serves a dry run."""
        return None

    def connected(self, study: str) -> Any:
        """A base on a copy of a study's database."""
        from motoko.store.rehearsed_database import open_rehearsed

        base = open_rehearsed(self.definition.studies[study], self._real.studies[study])
        self._bases[study], self._tids[study] = base, b""
        self._states[study] = {n: str(state_of(r.entries)) for n, r in self._runs(study)}
        self._existing[study] = [n for n, r in self._runs(study) if self._is_ours(r.entries)]
        return base

    def disconnect(self, study: str) -> None:
        """Close a study's copy."""
        super().disconnect(study)
        self._bases.pop(study, None)

    async def attached(self) -> Any:
        """The stand-in for a dispatcher, which tells waiters that runs are FINISHED."""
        current: Any = self._dispatcher
        if current is None or current.loop is not asyncio.get_running_loop():
            self.detach()
            current = self._dispatcher = _Stage(self)  # type: ignore[assignment]
            current.listeners += self.listeners
        return current

    def play(self) -> list[Transition]:
        """Set waiting runs to FINISHED; returns all transitions since the last call, unordered."""
        from motoko.store.session import session

        session().commit()
        changed = [study for study, base in self._bases.items() if base.tid != self._tids[study]]
        for study in changed:
            for number, run in self._runs(study):
                if state_of(run.entries) in WAITING_STATES and self._is_ours(run.entries):
                    self._finish(study, run)
                    self.finished_runs[study].append(number)
        session().commit()
        return [event for study in changed for event in self._news(study)]

    def report(self) -> list[StudyRehearsal]:
        """The results of the dry run, for the studies that were used."""
        return [
            StudyRehearsal(study, new, self._existing[study], self._launch(study, new[:1]))
            for study, new in self.finished_runs.items()
            if study in self._existing
        ]

    def _launch(self, study: str, first: list[int]) -> str:
        from motoko.store import config_files
        from motoko.store.placeholder_values import placeholder_values

        if not first:
            return ""
        base, real = self._bases[study], self._real.studies[study]
        run = base.runs.entries[first[0]]
        job = base.jobs.entries[run.entries["job_id"]]
        directory = run_directory(real, first[0])
        values = placeholder_values(base, run, job, attempt=1, directory=directory)
        launch, _ = config_files.files_of(base, run)
        return fill(launch.read(), values, LAUNCH).decode(errors="replace")

    def _news(self, study: str) -> Iterator[Transition]:
        tid, states = self._bases[study].tid, self._states[study]
        self._tids[study] = tid
        for number, run in self._runs(study):
            before, state = states.get(number), str(state_of(run.entries))
            if state != before:
                states[number] = state
                run_name = run.entries.get("run_name")
                yield Transition(study, number, before, state, tid.hex(), "", 0, run_name)

    def _is_ours(self, entries: Mapping[str, Any]) -> bool:
        return bool(entries.get("run_name") == self.run_name)

    def _runs(self, study: str) -> list[tuple[int, Any]]:
        return list(self._bases[study].runs.entries.items())

    def _finish(self, study: str, run: Any) -> None:
        base = self._bases[study]
        job = base.jobs.entries[run.entries["job_id"]]
        stub = self._stubs[study]
        results = stub(job, run) if stub is not None else _last_results(base, job, run)
        for name, value in (results or {}).items():
            run.entries[name] = value
        OwnEntries(run.entries).update({"state": FINISHED, "ended_state": FINISHED})


def _stub(directory: Path) -> Callable[[Any, Any], Mapping[str, Any]] | None:
    """The function ``results(job, run)`` of a study's stub.py, if the study has one."""
    path = directory / STUB
    if not path.exists():
        return None
    spec = spec_of(f"stub_of_{directory.name}", path)
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    results = getattr(module, "results", None)
    if not callable(results):
        raise ConfigError(
            f"{path} has no function `results`",
            hint='write `def results(job, run): return {"energy": 1.0}`',
        )
    return results  # type: ignore[no-any-return]


def _last_results(base: Any, job: Any, run: Any) -> dict[str, Any]:
    """The entries that the job's last FINISHED run has and this run lacks."""
    for number in sorted(job.runs.entries.keys(), reverse=True):
        earlier = base.runs.entries.get(number)
        is_other = earlier is not None and earlier is not run
        if is_other and outcome(earlier.entries) is Outcome.FINISHED:
            return {
                name: value
                for name, value in earlier.entries.items()
                if name not in run.entries and not str(name).startswith(PREFIX)
            }
    return {}


class _Stage:
    """Takes the place of a dispatcher; it makes the events itself."""

    def __init__(self, engine: RehearsedEngine) -> None:
        self.loop = asyncio.get_running_loop()
        self.counters = Counters()
        self.waiters = Waiters()
        self.listeners: list[Callable[[Transition], None]] = []
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None
        self.start(self._play())

    @contextlib.contextmanager
    def waiting(self, interest: Interest, *, what: str = "") -> Iterator[Waiter]:
        """See ``Dispatcher``."""
        if self._error is not None:
            raise self._error
        with self.waiters.waiting(interest, what) as waiter:
            yield waiter

    def tid(self, study: str) -> bytes:
        """See ``Dispatcher``."""
        return self._engine.own_tid(study) or bytes(8)

    @property
    def awaits(self) -> list[Waiter]:
        """See ``Dispatcher``."""
        return [waiter for waiter in self.waiters if waiter.what]

    def publish(self, message: Message) -> None:
        """Do nothing: no other process listens."""

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """See ``Dispatcher``."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def close(self) -> None:
        """See ``Dispatcher``."""
        if not self.loop.is_closed():
            for task in self._tasks:
                task.cancel()

    async def _play(self) -> None:
        idle = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            events = self._engine.play()
            for event in events:
                self._tell(event)
            if events or not self.awaits:
                idle = time.monotonic()
            elif time.monotonic() > idle + IDLE_S:
                raise NothingHappens(
                    f"nothing happens any more, and this is waited for: {self.awaits[0].what}",
                    hint="a dry run executes nothing: it has runs FINISHED, and no other state",
                )

    def _tell(self, event: Transition) -> None:
        for waiter in self.waiters.of(event):
            waiter.news.append(event)
            waiter.event.set()
        for listener in self.listeners:
            listener(event)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._error = error
            for waiter in self.waiters:
                waiter.error = error
                waiter.event.set()
