"""The progress of a workflow's runs, study by study, and what its orchestrator waits for."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from motoko.bus.messages import Transition
from motoko.control import client
from motoko.host.durations import counted
from motoko.reports.bars import COLOURS, bar
from motoko.reports.overview import COLUMNS, progress_column
from motoko.reports.pace import Pace, left_text, rate_text
from motoko.runs.references import described, listed
from motoko.runs.states import state_of

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    from motoko.api.engine import Engine
    from motoko.api.task_manager import TaskManager

# Lines for a file or a pipe: at most one for each study in this time.
LINE_EVERY_S = 2.0
OBJECT_EVERY_S = 0.5
AWAITS_SHOWN = 5
RUNNING_SHOWN = 5
LOOK_S = 0.5
BAR_WIDTH = 20


class Followed(Protocol):
    """What of a :class:`motoko.Workflow` is shown."""

    task_managers: dict[str, TaskManager]

    @property
    def motoko_engine(self) -> Engine:
        """Its engine."""

    @property
    def run_name(self) -> str | None:
        """Whose runs are counted; ``None``: all."""


class Progress:
    """Shows how many runs of a workflow's run_name are in which state, while the block runs.

    Shows a live table in a notebook's cell, or on a terminal, and prints plain lines otherwise,
    both on stderr; or JSON objects on stdout, one on each line. The table on a terminal and the
    objects include what the orchestrator waits for, and the table includes the first of the running
    runs, with their parameters.
    """

    def __init__(self, workflow: Followed, *, as_json: bool = False) -> None:
        self._workflow = workflow
        self._engine = workflow.motoko_engine
        self._as_json = as_json
        self._flushing: asyncio.TimerHandle | None = None
        self._states: dict[str, dict[int, str]] = {name: {} for name in workflow.task_managers}
        self._paces = {name: Pace() for name in workflow.task_managers}
        self._printed: dict[str, tuple[str, float]] = {}
        self._running: dict[tuple[str, int], str] = {}  # running runs, as a terminal shows them
        self._live: Live | None = None
        self._cell: Any = None  # the handle of what a notebook displays
        self._main_has_returned = False

    def __enter__(self) -> Progress:
        self._engine.listeners.append(self._on_transition)
        for name, manager in self._workflow.task_managers.items():
            for run, _ in manager.select():
                number, state = run.entries["id"], state_of(run.entries)
                self._states[name][number] = state
                self._note_running(name, number, state, run.entries.get("job_id"))
        if not self._as_json and (display := _notebook_display()) is not None:
            self._cell = display(self._for_notebook(), raw=True, display_id=True)
        elif sys.stderr.isatty() and not self._as_json:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True)
            self._live = Live(
                get_renderable=self._shown,
                console=console,
                refresh_per_second=4,
                # Otherwise results that are redirected to a file would be shown here instead.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._engine.listeners.remove(self._on_transition)
        if kind is None:
            self._read()  # the orchestrator has seen changes that the bus may not have sent yet
        if self._flushing is not None:
            self._flushing.cancel()
        if self._live is not None:
            self._live.stop()
        elif self._cell is not None:
            self._update_cell()
        elif self._as_json:
            self._object()
        else:
            for name in self._states:
                self._line(name, at_once=True)

    @property
    def unfinished(self) -> int:
        """How many runs are created or running."""
        return sum(progress_column(state) in ("created", "running") for state in self._all())

    async def until_all_have_ended(self) -> None:
        """Wait until no run of the run_name is created or running, and no process of one is left.

        Raises ``WorkflowStopped`` if the workflow is stopped meanwhile.
        """
        from motoko.bus.waiters import Interest
        from motoko.store.session import session

        managers = self._workflow.task_managers
        dispatcher = await self._engine.attached()
        try:
            with dispatcher.waiting(Interest(studies=managers)) as waiter:
                for manager in managers.values():
                    session().refresh(manager.base)
                self._read()
                self._main_has_returned = True
                if self._live is None and not self._as_json and self.unfinished:
                    print(self._left(), file=sys.stderr, flush=True)
                while self.unfinished:
                    await waiter.wait()
                    waiter.check_stopped("waiting for its runs to end")
                    if waiter.read_again:
                        waiter.read_again = False
                        for manager in managers.values():
                            session().refresh(manager.base)
                        self._read()
            # A run is FINISHED before its launch.sh has ended.
            while not await asyncio.to_thread(self._no_process_runs):
                pass
        finally:
            self._engine.detach()

    def _no_process_runs(self) -> bool:
        """Whether no process of a run is left; looks only briefly, so it can be interrupted."""
        deadline = time.monotonic() + LOOK_S
        for status in client.statuses(self._engine.definition, deadline):
            daemons = status.daemons if status else []
            if not sum(daemon.counts.get("running", 0) for daemon in daemons):
                return True
        return False

    def _left(self) -> str:
        names = [
            f"{study}.{number}"
            for study, states in self._states.items()
            for number, state in states.items()
            if progress_column(state) in ("created", "running")
        ]
        runs = counted(len(names), "run")
        return f"the orchestrator has ended; waiting for {runs} to end: {listed(names)}"

    def _all(self) -> list[str]:
        return [state for states in self._states.values() for state in states.values()]

    def _read(self) -> None:
        for name, manager in self._workflow.task_managers.items():
            self._states[name] = {
                run.entries["id"]: state_of(run.entries) for run, _ in manager.select()
            }

    def _on_transition(self, change: Transition) -> None:
        if self._workflow.run_name not in (None, change.run_name):
            return
        states = self._states[change.study]
        before = states.get(change.run_id, change.old)
        if _is_over(change.new) and before is not None and not _is_over(before):
            self._paces[change.study].ended(time.time())
        if change.new is None:
            states.pop(change.run_id, None)
        else:
            states[change.run_id] = change.new
        self._note_running(change.study, change.run_id, change.new, change.job_id)
        if self._as_json or self._cell is not None:
            if self._flushing is None:
                # Changes that follow soon after this one are shown together with it.
                show = self._object if self._as_json else self._update_cell
                loop = asyncio.get_running_loop()
                self._flushing = loop.call_later(OBJECT_EVERY_S, show)
        elif self._live is None:
            self._line(change.study)

    def _note_running(self, study: str, number: int, state: str | None, job: int | None) -> None:
        """Keep the names of running runs for the table, which another thread draws."""
        from motoko.store.jobs_of_runs import parameters_of

        if self._as_json or not sys.stderr.isatty():
            return
        if state is None or progress_column(state) != "running":
            self._running.pop((study, number), None)
        elif (study, number) not in self._running:
            base = self._workflow.task_managers[study].base
            parameters = parameters_of(base.study, base.jobs.entries, {"job_id": job})
            self._running[study, number] = described(f"{study}.{number}", parameters)

    def _counts(self, study: str) -> Counter[str]:
        return Counter(progress_column(state) for state in self._states[study].values())

    def _line(self, study: str, at_once: bool = False) -> None:
        counts = self._counts(study)
        text = ", ".join(f"{counts[name]} {name}" for name in COLUMNS)
        last, at = self._printed.get(study, ("", 0.0))
        if text == last or not counts or (not at_once and time.monotonic() - at < LINE_EVERY_S):
            return
        self._printed[study] = text, time.monotonic()
        print(f"{study}: {text}", file=sys.stderr, flush=True)

    def _update_cell(self) -> None:
        self._flushing = None
        self._cell.update(self._for_notebook(), raw=True)

    def _for_notebook(self) -> dict[str, str]:
        """The counts, as the kinds of content that notebooks display."""
        rows: list[tuple[str, ...]] = [("study", *COLUMNS)]
        for study in self._states:
            counts = self._counts(study)
            rows.append((study, *(str(counts[name]) for name in COLUMNS)))
        lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        return {
            "text/plain": "\n".join("  ".join(row) for row in rows),
            "text/html": f"<table>{table}</table>",
        }

    def _object(self) -> None:
        """Print everything as one JSON object."""
        self._flushing = None
        now = time.time()
        counts = {study: self._counts(study) for study in self._states}
        content = {
            "time": round(now, 3),
            "run_name": self._workflow.run_name,
            "studies": {s: {name: count[name] for name in COLUMNS} for s, count in counts.items()},
            "awaits": [
                {"who": wait.who, "what": wait.what, "seconds": round(now - wait.since, 1)}
                for wait in self._engine.awaits
            ],
        }
        print(json.dumps(content), flush=True)

    def _shown(self) -> Group:
        from rich.console import Group

        awaits, now = self._engine.awaits, time.time()
        running = [*self._running.values()]
        lines = [_one_line(f"running: {name}") for name in running[:RUNNING_SHOWN]]
        if len(running) > RUNNING_SHOWN:
            lines.append(_one_line(f"and {len(running) - RUNNING_SHOWN} more are running"))
        lines += [
            _one_line(f"{wait.who} has waited {now - wait.since:.0f} s for {wait.what}")
            for wait in awaits[:AWAITS_SHOWN]
        ]
        if self._main_has_returned and self.unfinished:
            lines.append(_one_line(self._left()))
        if len(awaits) > AWAITS_SHOWN:
            lines.append(_one_line(f"and {len(awaits) - AWAITS_SHOWN} more"))
        return Group(self._table(), *lines)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("study")
        for name in COLUMNS:
            table.add_column(name, justify="right", style=COLOURS[name])
        table.add_column("", no_wrap=True)
        table.add_column("rate", justify="right")
        table.add_column("left", justify="right")
        now = time.time()
        for study in self._states:
            counts, pace = self._counts(study), self._paces[study]
            pieces = [(text, COLOURS[name]) for name, text in bar(counts, BAR_WIDTH)]
            rate = pace.rate(now)
            table.add_row(
                study,
                *(str(counts[name]) for name in COLUMNS),
                Text.assemble(*pieces),
                rate_text(rate),
                left_text(pace.left(counts["created"] + counts["running"], now)),
            )
        return table


def _one_line(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _is_over(state: str | None) -> bool:
    return state is not None and progress_column(state) in ("finished", "failed")


def _notebook_display() -> Callable[..., Any] | None:
    """What displays something in the cell of a notebook, if this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if not hasattr(shell, "kernel"):
        return None
    display: Callable[..., Any] = ipython.display.display  # type: ignore[union-attr]
    return display
