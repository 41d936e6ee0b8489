"""The progress of a workflow's runs, study by study, and what its orchestrator waits for."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING

from motoko import control
from motoko.bus.messages import Transition
from motoko.states import FAILED_STATES, FINISHED, RUNNING_STATES, WAITING_STATES

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table

    from motoko.workflow import Workflow

COLUMNS = ("created", "running", "finished", "failed")
# Lines for a file or a pipe: no more than one a study in this time.
LINE_EVERY_S = 2.0
OBJECT_EVERY_S = 0.5
AWAITS_SHOWN = 5
PROCESSES_POLL_S = 0.1


def column(state: str | None) -> str:
    """Where a run in this state is counted."""
    if state in WAITING_STATES:
        return "created"
    if state in RUNNING_STATES:
        return "running"
    if state in FAILED_STATES:
        return "failed"
    return "finished" if state == FINISHED or state is not None else ""


class Progress:
    """Shows how many runs of a workflow's run_name are in which state, while the block runs.

    A live table on a terminal, plain lines otherwise, both on stderr; or JSON objects on stdout,
    one a line. What the orchestrator waits for is in the table and in the objects.
    """

    def __init__(self, workflow: Workflow, *, as_json: bool = False) -> None:
        self._workflow = workflow
        self._as_json = as_json
        self._flushing: asyncio.TimerHandle | None = None
        self._states: dict[str, dict[int, str]] = {name: {} for name in workflow.task_managers}
        self._printed: dict[str, tuple[str, float]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        self._workflow._execution.listeners.append(self._on_transition)
        for name, manager in self._workflow.task_managers.items():
            for run, _ in manager.select():
                self._states[name][run.entries["id"]] = str(run.entries.get("state"))
        if sys.stderr.isatty() and not self._as_json:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True)
            self._live = Live(
                get_renderable=self._shown,
                console=console,
                refresh_per_second=4,
                # Else a result that is sent to a file would be shown here instead.
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
        self._workflow._execution.listeners.remove(self._on_transition)
        if self._live is not None:
            self._live.stop()
        elif self._as_json:
            self._object()
        else:
            for name in self._states:
                self._line(name, at_once=True)

    @property
    def unfinished(self) -> int:
        """How many runs are created or running."""
        return sum(column(state) in ("created", "running") for state in self._all())

    async def until_all_have_ended(self) -> None:
        """Wait until no run of the run_name is created or running, its processes included."""
        from motoko.bd.session import session
        from motoko.dispatch import Interest

        managers = self._workflow.task_managers
        dispatcher = await self._workflow._execution.attached()
        try:
            with dispatcher.waiting(Interest(studies=managers)) as waiter:
                for manager in managers.values():
                    session().refresh(manager.base)
                self._read()
                while self.unfinished:
                    await waiter.wait()
                    if waiter.stopped:
                        return
                    if waiter.read_again:
                        waiter.read_again = False
                        for manager in managers.values():
                            session().refresh(manager.base)
                        self._read()
            # A run is FINISHED before its launch.sh has ended.
            while self._running_processes():
                await asyncio.sleep(PROCESSES_POLL_S)
        finally:
            self._workflow._execution.close()

    def _running_processes(self) -> int:
        status = control.supervisor_status(self._workflow._definition)
        daemons = status["daemons"] if status else []
        return sum(daemon.get("counts", {}).get("running", 0) for daemon in daemons)

    def _all(self) -> list[str]:
        return [state for states in self._states.values() for state in states.values()]

    def _read(self) -> None:
        for name, manager in self._workflow.task_managers.items():
            self._states[name] = {
                run.entries["id"]: str(run.entries.get("state")) for run, _ in manager.select()
            }

    def _on_transition(self, change: Transition) -> None:
        if change.run_name != self._workflow.run_name:
            return
        states = self._states[change.study]
        if change.new is None:
            states.pop(change.run_id, None)
        else:
            states[change.run_id] = change.new
        if self._as_json:
            if self._flushing is None:
                # What comes soon after it is told together with it.
                loop = asyncio.get_running_loop()
                self._flushing = loop.call_later(OBJECT_EVERY_S, self._object)
        elif self._live is None:
            self._line(change.study)

    def _counts(self, study: str) -> Counter[str]:
        return Counter(column(state) for state in self._states[study].values())

    def _line(self, study: str, at_once: bool = False) -> None:
        counts = self._counts(study)
        text = ", ".join(f"{counts[name]} {name}" for name in COLUMNS)
        last, at = self._printed.get(study, ("", 0.0))
        if text == last or not counts or (not at_once and time.monotonic() - at < LINE_EVERY_S):
            return
        self._printed[study] = text, time.monotonic()
        print(f"{study}: {text}", file=sys.stderr, flush=True)

    def _object(self) -> None:
        """Print everything as one JSON object."""
        self._flushing = None
        now = time.time()
        counts = {study: self._counts(study) for study in self._states}
        found = {
            "time": round(now, 3),
            "run_name": self._workflow.run_name,
            "studies": {s: {name: count[name] for name in COLUMNS} for s, count in counts.items()},
            "awaits": [
                {"who": each.who, "what": each.what, "seconds": round(now - each.since, 1)}
                for each in self._workflow._execution.awaits
            ],
        }
        print(json.dumps(found), flush=True)

    def _shown(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        awaits, now = self._workflow._execution.awaits, time.time()
        lines = [
            Text(f"{each.who} waits since {now - each.since:.0f} s for {each.what}", style="dim")
            for each in awaits[:AWAITS_SHOWN]
        ]
        if len(awaits) > AWAITS_SHOWN:
            lines.append(Text(f"and {len(awaits) - AWAITS_SHOWN} more", style="dim"))
        return Group(self._table(), *lines)

    def _table(self) -> Table:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("study")
        colours = {"created": "", "running": "yellow", "finished": "green", "failed": "red"}
        for name in COLUMNS:
            table.add_column(name, justify="right", style=colours[name])
        for study in self._states:
            counts = self._counts(study)
            table.add_row(study, *(str(counts[name]) for name in COLUMNS))
        return table
