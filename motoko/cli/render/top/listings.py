"""What the tables of `motoko top` show, made of the view. Pure logic."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from motoko.bus.messages import Transition
from motoko.cli.render import process_table
from motoko.cli.render.top.cells import GAP, Cell, Column, fitted
from motoko.config.daemon_kinds import ORCHESTRATOR
from motoko.host.durations import counted, duration, uptime
from motoko.host.printable import printable
from motoko.reports.bars import COLOURS, bar
from motoko.reports.overview import COLUMNS, column, progress_column
from motoko.reports.pace import left_text, rate_text
from motoko.reports.run_pages import PagedRun
from motoko.views.study_view import StudyView
from motoko.views.workflow_view import SlotsView, WorkflowView

STUDIES = (
    Column("study", 10, weight=1),
    Column("", 10, weight=3),
    *(Column(name, len(name), right=True) for name in COLUMNS),
    Column("rate", 7, right=True),
    Column("left", 7, right=True),
)
PROCESSES = (
    Column("name", 16, weight=1),
    Column("state", 9),
    Column("pid", 7, right=True),
    Column("uptime", 7, right=True),
    Column("restarts", 8, right=True, rank=2),
    Column("cpu", 7, right=True, rank=1),
    Column("rss", 7, right=True, rank=1),
    Column("detail", 20, weight=3),
)
SLOTS = (Column("holder", 24, weight=1), Column("slots", 5, right=True), Column("for", 8, True))
ORCHESTRATORS = (
    Column("run_name", 14, weight=1),
    Column("state", 9),
    Column("pid", 7, right=True),
    Column("host", 10, rank=1),
    Column("since", 8, right=True),
    Column("waits for", 30, weight=4),
)
EVENTS = (
    Column("time", 12),
    Column("run", 16, weight=1),
    Column("change", 24, weight=1),
    Column("run_name", 12, weight=1, rank=1),
)
RUNS = (
    Column("id", 7, right=True),
    Column("state", 8),
    Column("took", 7, right=True),
)
RUN_NAME = Column("run_name", 9, rank=40)
WHY = Column("why it failed", 14, weight=2, rank=1)
VALUE_WIDTH = 10
VALUES_MAX = 30


@dataclass(frozen=True)
class Listing:
    """Columns, and rows of cells."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def clock(at: float | None) -> str:
    """A moment (seconds since 1970) as local time of day."""
    return "-" if at is None else datetime.fromtimestamp(at).strftime("%H:%M:%S")


def studies(view: WorkflowView, now: float, width: int) -> Listing:
    """The studies with their states as bars, their paces and the times left."""
    room = dict(fitted(STUDIES, width)).get(1, 10)
    return Listing(STUDIES, [_study(study, now, room) for study in view.studies.values()])


def _study(study: StudyView, now: float, width: int) -> list[Cell]:
    counts = study.columns
    pieces = [(text, COLOURS[name]) for name, text in bar(counts, width)]
    if study.read_at is None:
        return [study.name, "not known" if study.problem else "reading", *([""] * 6)]
    numbers: list[Cell] = [
        [(str(counts[name]), COLOURS[name] if counts[name] else "dim")] for name in COLUMNS
    ]
    is_going_on = counts["created"] + counts["running"] > 0
    rate, left = study.pace.rate(now) if is_going_on else None, study.left(now)
    return [study.name, pieces, *numbers, rate_text(rate), left_text(left)]


def processes(view: WorkflowView) -> Listing:
    """The supervisor and its daemons, as ``motoko ps`` shows them."""
    if view.status is None:
        return Listing(PROCESSES, [])
    rows: list[Sequence[Cell]] = []
    for name, state, *rest in process_table.rows(view.status):
        rows.append([name, [(state, process_table.colour(state))], *rest])
    return Listing(PROCESSES, rows)


def slots(seen: SlotsView | None, now: float) -> Listing:
    """The holders of slots."""
    if seen is None:
        return Listing(SLOTS, [])
    rows: list[Sequence[Cell]] = [
        [holder.name, str(holder.slots), uptime(now - holder.since) if holder.since else "-"]
        for holder in seen.holders
    ]
    return Listing(SLOTS, rows)


def slots_line(seen: SlotsView | None) -> str:
    """How many slots are free, and who waits for some."""
    if seen is None:
        return "looking"
    held = sum(holder.slots for holder in seen.holders)
    text = f"{counted(seen.count, 'slot')} on this host, {max(0, seen.count - held)} free"
    if seen.queue:
        text += f"; waiting for some: {', '.join(seen.queue)}"
    return f"{text}; looked at {clock(seen.at)}"


def orchestrators(view: WorkflowView, now: float) -> Listing:
    """The orchestrators, scripts that await runs, and how those in the background have ended."""
    if view.status is None:
        return Listing(ORCHESTRATORS, [])
    rows: list[Sequence[Cell]] = []
    pids = set()
    for orchestrator in view.status.orchestrators:
        pids.add(orchestrator.pid)
        kind = "running" if orchestrator.registered else "script"
        first, *others = orchestrator.waiting or [""]
        since = "" if orchestrator.since is None else uptime(now - orchestrator.since)
        head: list[Cell] = [
            orchestrator.run_name,
            [(kind, "green")],
            str(orchestrator.pid),
            orchestrator.host,
        ]
        rows.append([*head, since, first])
        if (more := (orchestrator.awaits or 0) - 1 - len(others)) > 0:
            others.append(f"and {more} more")
        rows += [["", "", "", "", "", other] for other in others]
    for daemon in view.status.daemons:
        if daemon.kind == ORCHESTRATOR and daemon.pid not in pids:
            state: Cell = [(daemon.state, process_table.colour(daemon.state))]
            rows.append(
                [daemon.subject, state, str(daemon.pid or "-"), "", "", daemon.last_exit or ""]
            )
    return Listing(ORCHESTRATORS, rows)


def events_row(event: Transition) -> list[Cell]:
    """One event, as ``motoko events`` tells it."""
    from motoko.store.tids import committed_at

    at = committed_at(event.tid).strftime("%H:%M:%S.%f")[:12]
    change: Cell = [
        (f"{printable(event.old or '(new)')} -> ", "dim"),
        (printable(event.new or "(deleted)"), state_colour(event.new)),
    ]
    return [at, f"{event.study}.{event.run_id}", change, event.run_name or ""]


def run_columns(names: Sequence[str]) -> list[Column]:
    """The columns of the runs; ``names`` are their parameters and results."""
    values = [
        Column(name, max(VALUE_WIDTH, min(len(name), 16)), right=True, rank=2 + place)
        for place, name in enumerate(names[:VALUES_MAX])
    ]
    return [*RUNS, *values, RUN_NAME, WHY]


def run_row(run: PagedRun, state: str, now: float) -> list[Cell]:
    """One run; ``state`` may be newer than what was read."""
    end = now if progress_column(state) == "running" else run.ended
    took = end - run.started if run.started and end and end >= run.started else None
    values = [short_text(value) for value in run.values[:VALUES_MAX]]
    why = run.reason if progress_column(state) == "failed" else ""
    times: list[Cell] = [duration(took)]
    head: list[Cell] = [str(run.run_id), [(printable(state), state_colour(state))]]
    return [*head, *times, *values, run.run_name or "", why]


def is_users_own(state: str) -> bool:
    """Whether a state is none of those that Motoko and BlackDynamite give."""
    return column(state) not in COLUMNS


def state_colour(state: str | None) -> str:
    """The colour of a run's state."""
    return "dim" if state is None else COLOURS[progress_column(state)]


def short_text(value: object) -> str:
    """A parameter or result in a column: a number is rounded, never cut off."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value)[:100])


def head(view: WorkflowView, name: str, width: int) -> list[tuple[str, str]]:
    """The first line: whose view it is, how the supervisor is, and the time that it stands at."""
    supervisor = view.status.supervisor if view.status is not None else None
    state = supervisor.state if supervisor else "..."
    moments = [at for study in view.studies.values() if (at := view.stands_at(study))]
    stands = f"as of {clock(min(moments))}" if moments else "as of -"
    left = [(f" {printable(name)} ", "bold"), ("  supervisor ", ""), (state, _state_style(state))]
    used = sum(len(text) for text, _ in left) + len(stands) + 1
    return [*left, (" " * max(GAP, width - used), ""), (stands, "")]


def _state_style(state: str) -> str:
    return "bold " + process_table.colour(state)


def notes(view: WorkflowView, most: int) -> list[str]:
    """What the view cannot know, in at most this many lines."""
    lines = [printable(text) for text in view.unknown()]
    if len(lines) > most:
        return [*lines[: most - 1], f"and {len(lines) - most + 1} more: see `motoko ps`"]
    return lines


def now() -> float:
    """The present (seconds since 1970)."""
    return time.time()
