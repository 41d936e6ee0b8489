"""Keeps a view up to date: by the bus, by the supervisor's word, and without them by the files.

While nothing happens it makes no storage call: the bus and the supervisor tell of changes. Where
nobody tells, it looks every 2 s whether the files have changed, and reads them only then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from motoko.bus.messages import Transition
from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.daemon_kinds import BUS, LAUNCHER
from motoko.control import client, daemon_records
from motoko.control.bridging import reached
from motoko.control.protocol import RequestRefused, Status, StatusRequest
from motoko.errors import MotokoError
from motoko.layout import Runtime
from motoko.reports import slot_use
from motoko.reports.state_counts import StateCounts, state_counts
from motoko.reports.status import WorkflowStatus, described
from motoko.views.status_news import Figures, StatusNews
from motoko.views.workflow_view import LOOK_S, SILENT_S, SlotsView, WorkflowView

log = logging.getLogger(__name__)
T = TypeVar("T")

AGAIN_S = 1.0  # between two tries to find a supervisor, or the bus
RECORDS_S = 5.0  # between two looks at the daemons' records, if no supervisor answers


class Feed:
    """Feeds a view, as long as its ``run`` runs. Belongs to that event loop.

    Args:
        config: the workflow.
        on_change: called in the loop after each change of the view.

    Attributes:
        view: the view.
        shows_processes: whether the processes' figures are being looked at; a view sets it.
    """

    def __init__(self, config: WorkflowConfig, on_change: Callable[[], None]) -> None:
        self.config = config
        self.view = WorkflowView.of(config.studies)
        self.shows_processes = False
        self._on_change = on_change
        self._figures = Figures()
        self._files: dict[str, tuple[tuple[int, int], ...]] = {}
        self._reading: dict[str, bool] = {}  # by study: whether to read it once more
        self._group: asyncio.TaskGroup | None = None
        self._seen = asyncio.Event()  # the processes have been looked at
        self._closed = threading.Event()
        # SQLite and the databases may keep one waiting; neither waits for the other.
        self._mirrors = ThreadPoolExecutor(1, "mirrors")
        self._bases = ThreadPoolExecutor(1, "bases")

    async def run(self) -> None:
        """Feed the view for ever; raises a group of the errors that end it."""
        self.view.events_since = time.time()
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()
        # A daemon, since it may be waiting for the supervisor's word when the view is left.
        thread = threading.Thread(
            target=self._watch_processes, args=[loop, failed], name="processes", daemon=True
        )
        thread.start()
        try:
            async with asyncio.TaskGroup() as self._group:
                self._group.create_task(_result_of(failed))
                self._group.create_task(self._follow_bus())
                self._group.create_task(self._look_at_files())
                self._group.create_task(self.of_bases(_prepare))
        finally:
            self.close()

    def close(self) -> None:
        """Stop all of it."""
        self._closed.set()
        self._mirrors.shutdown(wait=False, cancel_futures=True)
        self._bases.shutdown(wait=False, cancel_futures=True)

    async def of_mirrors(self, question: Callable[[], T]) -> T:
        """The answer to a question about mirrors, one after the other, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._mirrors, question)

    async def of_bases(self, question: Callable[[], T]) -> T:
        """The answer to a question about databases, or a change there, in another thread."""
        return await asyncio.get_running_loop().run_in_executor(self._bases, question)

    # The processes

    def _watch_processes(
        self, loop: asyncio.AbstractEventLoop, failed: asyncio.Future[None]
    ) -> None:
        try:
            self._watch(loop)
        except Exception as error:  # noqa: BLE001 (`run` raises it)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(failed.set_exception, error)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell the loop of the processes now and at each change. Runs in a thread of its own."""
        due = 0.0
        while not self._closed.is_set():
            answers = False
            try:
                news = StatusNews()
                for answer in client.watch(daemon_records.records(self.config)):
                    answers = True
                    if self._closed.is_set():
                        return
                    if news.are_in(answer, time.monotonic(), figures=self.shows_processes):
                        self._tell(loop, answer)
            except RequestRefused:  # a supervisor of an earlier version
                asked = client.ask(daemon_records.records(self.config), StatusRequest())
                answers = asked is not None
                self._tell(loop, asked)
                due = time.monotonic() + RECORDS_S
            if answers or time.monotonic() > due:
                due = time.monotonic() + RECORDS_S
                self._tell(loop, None)
            self._closed.wait(AGAIN_S)

    def _tell(self, loop: asyncio.AbstractEventLoop, answer: Status | None) -> None:
        status = described(self.config, answer, self._figures.of)
        owner = None if answer else daemon_records.other_owner(self.config)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._see, status, owner)

    def _see(self, status: WorkflowStatus, owner: str | None) -> None:
        self.view.see(status, time.time(), owner)
        self._seen.set()
        self._on_change()

    # The bus

    async def _follow_bus(self) -> None:
        from motoko.bus.dispatcher import Dispatcher
        from motoko.bus.waiters import Interest

        await self._seen.wait()
        while True:
            runtime = await self._bus() if self.view.has(BUS) else None
            if runtime is None:
                await asyncio.sleep(AGAIN_S)
                continue
            studies = list(self.config.studies)
            dispatcher = Dispatcher(runtime, studies, lambda study: None)
            dispatcher.listeners.append(self._take)
            # No transition has to wake the waiter, only what was lost.
            interest = Interest(studies=studies, states_only=True, accepts=lambda change: False)
            try:
                with dispatcher.waiting(interest) as waiter:
                    await dispatcher.live()
                    self.view.is_told, self.view.heard = True, time.time()
                    self._read(*studies)
                    while self.view.has(BUS) and not waiter.stopped:
                        await waiter.wait(LOOK_S)
                        if waiter.read_again:
                            waiter.read_again = False
                            self._read(*studies)
                        self._listen(dispatcher.silent_for)
            except MotokoError as error:
                log.info("the bus cannot be heard: %s", error)
            finally:
                dispatcher.close()
                self.view.is_told = False
                self.view.changes += 1
                self._on_change()
            await asyncio.sleep(AGAIN_S)

    async def _bus(self) -> Runtime | None:
        """Where the bus is; ``None`` if it cannot be heard from here."""

        def find() -> Runtime | None:
            daemon_records.refuse_guests(self.config)
            return reached(self.config)

        try:
            runtime, why = await self.of_bases(find), ""
        except MotokoError as error:
            runtime, why = None, str(error)
        if why != self.view.why_untold:
            self.view.why_untold = why
            self.view.changes += 1
            self._on_change()
        return runtime

    def _take(self, change: Transition) -> None:
        self.view.take(change, time.time())
        self._on_change()

    def _listen(self, silent_for: Callable[[str], float]) -> None:
        """Note which studies are silent, and when the others were heard."""
        quiet = {study: silent_for(study) for study in self.view.studies}
        silent = frozenset(study for study, seconds in quiet.items() if seconds > SILENT_S)
        self.view.heard = max(self.view.heard, time.time() - min(quiet.values(), default=0.0))
        if silent != self.view.silent:
            self.view.silent = silent
            self.view.changes += 1
            self._on_change()

    # The studies

    async def _look_at_files(self) -> None:
        """Read the studies, and again when their files change and nobody tells of it."""
        while True:
            for name, study in self.config.studies.items():
                is_told = self.view.is_told and name not in self.view.silent
                if name not in self._files or not is_told:
                    files = _marks(self.config, study)
                    if self._files.get(name) != files:
                        self._files[name] = files
                        self._read(name)
                    elif files and name not in self._reading:
                        self.view.studies[name].unchanged(time.time())
            await asyncio.sleep(LOOK_S)

    def _read(self, *studies: str) -> None:
        """Read studies, each once more if it is being read."""
        for study in studies:
            if study in self._reading:
                self._reading[study] = True
            elif self._group is not None:
                self._reading[study] = False
                self._group.create_task(self._read_study(study))

    async def _read_study(self, name: str) -> None:
        study, view = self.config.studies[name], self.view.studies[name]
        try:
            while True:
                self._reading[name] = False
                view.begin_reading()
                try:
                    if study.is_local and not study.created:
                        view.failed_to_read("not created yet: `motoko create`")
                    else:
                        view.read(await self.of_mirrors(_counts(self.config, study)), time.time())
                except (MotokoError, OSError) as error:
                    view.failed_to_read(str(error))
                self._on_change()
                if not self._reading[name]:
                    return
        finally:
            del self._reading[name]

    async def look_at_slots(self) -> None:
        """Look who holds the slots: that costs some milliseconds, so a view asks if it shows it."""
        status = self.view.status

        def look() -> SlotsView:
            from motoko.host.cpus import usable_cpus

            daemons = status.daemons if status is not None else []
            counts = [daemon.counts.get("slots") for daemon in daemons if daemon.kind == LAUNCHER]
            count = next((number for number in counts if number), None)
            return SlotsView(
                time.time(),
                count or self.config.slots or usable_cpus(),
                tuple(slot_use.holders(self.config)),
                tuple(slot_use.queue(self.config)),
            )

        self.view.slots = await asyncio.to_thread(look)
        self.view.changes += 1
        self._on_change()


async def _result_of(future: asyncio.Future[None]) -> None:
    await future


def _prepare() -> None:
    """Import what opening a database needs, so that the first run that is opened is shown soon."""
    import motoko.store.jobs_of_runs  # noqa: F401


def _counts(config: WorkflowConfig, study: StudyConfig) -> Callable[[], StateCounts]:
    return lambda: state_counts(config, study)


def _marks(config: WorkflowConfig, study: StudyConfig) -> tuple[tuple[int, int], ...]:
    """What changes with a study's files."""
    marks = []
    for path in (study.database.transactions,) if study.is_local else ():
        try:
            status = path.stat()
        except OSError:
            marks.append((0, 0))
        else:
            marks.append((status.st_mtime_ns, status.st_size))
    return tuple(marks)
