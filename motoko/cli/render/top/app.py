"""`motoko top`: the workflow on a terminal, as it changes. Textual draws what the view knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer, Static
from textual.worker import Worker

from motoko.cli.render import run_actions
from motoko.cli.render.top import listings
from motoko.cli.render.top.dialogs import Entry, Question
from motoko.cli.render.top.lazy_table import LazyTable
from motoko.cli.render.top.log_screen import LogScreen
from motoko.cli.render.top.run_browser import RunBrowser
from motoko.cli.render.top.run_screen import RunScreen
from motoko.config import WorkflowConfig
from motoko.control import daemon_records
from motoko.errors import MotokoError
from motoko.host.printable import printable
from motoko.reports.run_pages import RunQuery
from motoko.runs.references import Reference, reference
from motoko.views.feed import Feed

TABS = ("studies", "runs", "daemons", "slots", "orchestrators", "events")
TOGETHER_S = 0.02  # changes that come within this time are drawn together
DRAW_S = 0.09  # at least, between two times that changes are drawn
FLOOD_S = 0.25  # between two screens that are full of new events
SLOTS_S = 1.0  # between two looks at who holds the slots
TICK_S = 4.0  # as the watcher's beats
NOTES_MAX = 3


class Top(App[None]):
    """The view.

    Args:
        config: the workflow.
        feed: what feeds the view.

    Attributes:
        failure: the error that has ended the feed, if one has.
        tab: the table that is shown.
    """

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "motoko top"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(place + 1), f"tab('{name}')", name.capitalize(), show=False)
            for place, name in enumerate(TABS)
        ),
        Binding("e", "explain", "Explain", show=False),
        Binding("l", "logs", "Logs", show=False),
        Binding("c", "cancel_run", "Cancel"),
        Binding("r", "retry_run", "Retry"),
        Binding("n", "next_study", "Study"),
        Binding("f", "filter", "Filter"),
        Binding("slash", "constraints", "Where"),
        Binding("s", "sort", "Sort"),
        Binding("S", "reverse", "Reverse", show=False),
        Binding("right", "next_tab(1)", "Next", show=False),
        Binding("left", "next_tab(-1)", "Previous", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, config: WorkflowConfig, feed: type[Feed] = Feed) -> None:
        super().__init__()
        self.animation_level = "none"
        self.config = config
        self.feed = feed(config, self.changed)
        self.view = self.feed.view
        self.failure: BaseException | None = None
        self.tab = TABS[0]
        self.browser = RunBrowser(self.feed, self._runs_changed, self._refuse, self.run_worker)
        self._head = Static(id="head")
        self._feeding: asyncio.Task[None] | None = None
        self._drawing: asyncio.TimerHandle | None = None
        self._drawn_at = 0.0
        self._looking: Worker[None] | None = None
        self._slots_of = -1
        self._events_drawn, self._events_at = 0, 0.0
        self._drawn: dict[str, object] = {}

    def compose(self) -> ComposeResult:
        yield self._head
        yield Static(id="notes")
        yield Static(id="tabs")
        with ContentSwitcher(initial=TABS[0]):
            for name in TABS:
                yield LazyTable(id=name)
        yield Static(id="line")
        yield Footer()

    def on_mount(self) -> None:
        self._feeding = asyncio.create_task(self.feed.run())
        self._feeding.add_done_callback(self._feed_ended)
        self.set_interval(TICK_S, self._tick)
        self._table("studies").focus()
        self.changed()

    def on_unmount(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()

    def _feed_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failure = error
            self.exit()

    def _table(self, name: str) -> LazyTable:
        return self.screen_stack[0].query_one(f"#{name}", LazyTable)

    # Drawing

    def changed(self) -> None:
        """The view has changed: draw it soon, together with what changes next."""
        if self._drawing is None:
            loop = asyncio.get_running_loop()
            delay = max(TOGETHER_S, self._drawn_at + DRAW_S - loop.time())
            self._drawing = loop.call_later(delay, self._draw)

    def _tick(self) -> None:
        """Time has passed: what depends on it is drawn, if it has changed."""
        is_moving = any(
            study.columns["created"] + study.columns["running"]
            for study in self.view.studies.values()
        )
        if is_moving or self.tab == "slots":
            self._drawn.pop(self.tab, None)
        self._draw()

    def _draw(self) -> None:
        if self._drawing is not None:
            self._drawing.cancel()
            self._drawing = None
        if not self.is_running or not self.screen_stack or not self._head.is_attached:
            return  # it is ending
        self._drawn_at = asyncio.get_running_loop().time()
        if isinstance(self.screen, RunScreen):
            self.screen.look()
        base, width = self.screen_stack[0], self.size.width
        name = self.config.directory.name
        self._update(base, "head", Content.assemble(*listings.head(self.view, name, width)))
        notes = listings.notes(self.view, NOTES_MAX)
        self._update(base, "notes", Content("\n".join(notes)))
        base.query_one("#notes").display = bool(notes)
        tabs = [
            (f" {place + 1} {tab} ", "reverse" if tab == self.tab else "")
            for place, tab in enumerate(TABS)
        ]
        self._update(base, "tabs", Content.assemble(*tabs))
        self._update(base, "line", Content(printable(self._line())))
        self.browser.follow()
        self._draw_table(width)

    def _update(self, screen: Screen[object], name: str, content: Content) -> None:
        if self._drawn.get(f"#{name}") != content:
            self._drawn[f"#{name}"] = content
            # Only the notes change their height.
            screen.query_one(f"#{name}", Static).update(content, layout=name == "notes")

    def _draw_table(self, width: int) -> None:
        tab, table, now = self.tab, self._table(self.tab), listings.now()
        studies = tuple(study.changes for study in self.view.studies.values())
        state = (self.view.changes, self.view.event_count, studies, width, table.row_width)
        if self._drawn.get(tab) == state:
            return
        self._drawn[tab] = state
        match tab:
            case "runs":
                self.browser.draw(table)
                return
            case "events":
                self._draw_events(table)
                return
            case "studies":
                listing = listings.studies(self.view, now, table.row_width)
            case "daemons":
                table.empty = "no process of this workflow is known"
                listing = listings.processes(self.view)
            case "slots":
                table.empty = "no slot is held"
                listing = listings.slots(self.view.slots, now)
                self._look_at_slots(studies)
            case _:
                known = (
                    "nobody awaits runs",
                    "no orchestrator; only a supervisor knows who awaits runs",
                )
                table.empty = known[not self.view.is_supervised]
                listing = listings.orchestrators(self.view, now)
        rows = listing.rows
        table.show(listing.columns, len(rows), lambda row: rows[row])

    def _draw_events(self, table: LazyTable) -> None:
        new, loop = self.view.event_count - self._events_drawn, asyncio.get_running_loop()
        if new > table.rows_seen and loop.time() < self._events_at + FLOOD_S:
            # All rows would be drawn, and nobody could read them.
            self._drawn.pop("events")
            self.changed()
            return
        self._events_drawn, self._events_at = self.view.event_count, loop.time()
        table.empty = "no event since this view was opened"
        events = list(reversed(self.view.events))
        table.show(listings.EVENTS, len(events), lambda row: listings.events_row(events[row]))

    def _line(self) -> str:
        match self.tab:
            case "runs":
                return self.browser.line()
            case "slots":
                return f" {listings.slots_line(self.view.slots)}"
            case "events":
                return f" since {listings.clock(self.view.events_since)}, the newest first"
            case "daemons" | "orchestrators":
                return f" as of {listings.clock(self.view.status_at)}"
        return " █ finished  x failed  ▒ running  · created    left: for the runs that exist"

    def _runs_changed(self) -> None:
        self._drawn.pop("runs", None)
        self.changed()

    def _show_runs(self) -> None:
        self.action_tab("runs")
        self._table("runs").move_to(0)

    def _look_at_slots(self, changes: tuple[int, ...]) -> None:
        is_due = self.view.slots is None or hash(changes) != self._slots_of
        if is_due and (self._looking is None or self._looking.is_finished):
            self._slots_of = hash(changes)

            async def look() -> None:
                await self.feed.look_at_slots()
                await asyncio.sleep(SLOTS_S)
                self._drawn.pop("slots", None)
                self.changed()

            self._looking = self.run_worker(look())

    # What the user does

    def on_lazy_table_moved(self) -> None:
        if self.tab == "runs":
            self.browser.read(self._table("runs"))
        elif self.tab == "studies":
            self.changed()  # its bars are as wide as there is room

    def on_lazy_table_chosen(self) -> None:
        if self.tab == "studies":
            names = list(self.config.studies)
            self.browser.show(names[self._table("studies").cursor], RunQuery())
            self._show_runs()
        elif self.tab == "daemons":
            self._show_log()
        else:
            self._show_run()

    def action_tab(self, name: str) -> None:
        if len(self.screen_stack) > 1:
            return
        self.tab = self.screen_stack[0].query_one(ContentSwitcher).current = name
        self._table(name).focus()
        self.feed.shows_processes = name == "daemons"
        self._drawn.clear()
        self.refresh_bindings()
        self._draw()

    def action_next_tab(self, step: int) -> None:
        self.action_tab(TABS[(TABS.index(self.tab) + step) % len(TABS)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_running or not self.screen_stack:
            return True
        if len(self.screen_stack) > 1:
            return action in ("cancel_run", "retry_run", "pop_screen", "focus_next", "quit")
        if action in ("next_study", "filter", "constraints", "sort", "reverse"):
            return self.tab == "runs"
        if action in ("cancel_run", "retry_run"):
            return self.tab in ("runs", "slots", "events")
        return True

    def _run(self) -> Reference | None:
        """The run that the user means."""
        if isinstance(self.screen, RunScreen):
            return self.screen.run
        row = self._table(self.tab).cursor
        match self.tab:
            case "runs":
                return self.browser.run(row)
            case "events" if row < len(self.view.events):
                event = self.view.events[-1 - row]
                return Reference(event.study, event.run_id)
            case "slots" if self.view.slots is not None and row < len(self.view.slots.holders):
                named = reference(self.view.slots.holders[row].name)
                return named if named is not None and named.study in self.config.studies else None
        return None

    def action_explain(self) -> None:
        self._show_run()

    def action_logs(self) -> None:
        if self.tab == "daemons":
            self._show_log()
        else:
            self._show_run(at_output=True)

    def _show_run(self, *, at_output: bool = False) -> None:
        if (run := self._run()) is not None:
            self.push_screen(RunScreen(self.feed, run, at_output=at_output))

    def _show_log(self) -> None:
        rows = listings.processes(self.view).rows
        row = self._table("daemons").cursor
        if row < len(rows):
            name = str(rows[row][0])
            path: Path = daemon_records.records(self.config).log(name)
            if path.exists():
                self.push_screen(LogScreen(name, path))
            else:
                self.notify(f"{name} has no log here", severity="warning", markup=False)

    def action_cancel_run(self) -> None:
        self._ask_and_do("Cancel", run_actions.cancel)

    def action_retry_run(self) -> None:
        self._ask_and_do("Retry", run_actions.retry)

    def _ask_and_do(self, what: str, action: Callable[[WorkflowConfig, Reference], str]) -> None:
        run = self._run()
        if run is None or isinstance(self.screen, Question):
            return

        async def act() -> None:
            try:
                done = await self.feed.of_bases(lambda: action(self.config, run))
            except MotokoError as error:
                self._refuse(error)
            else:
                self.notify(done, markup=False)

        def answered(answer: bool | None) -> None:
            if answer:
                self.run_worker(act())

        self.push_screen(Question(f"{what} {run.study}.{run.run_id}?"), answered)

    def _refuse(self, error: MotokoError) -> None:
        text = f"{error}" + (f"\n{error.hint}" if error.hint else "")
        self.notify(text, severity="error", markup=False, timeout=10)

    def action_next_study(self) -> None:
        self.browser.next_study()
        self._show_runs()

    def action_filter(self) -> None:
        self.browser.next_filter()
        self._show_runs()

    def action_sort(self) -> None:
        self.browser.next_sort()
        self._show_runs()

    def action_reverse(self) -> None:
        self.browser.change(is_reverse=not self.browser.window.query.is_reverse)
        self._show_runs()

    def action_constraints(self) -> None:
        def answered(text: str | None) -> None:
            if text is not None:
                self.browser.change(constraints=text)
                self._show_runs()

        question = "Only runs that obey these constraints, such as: state = FAILED, x > 3"
        window = self.browser.window
        names = ("state", "run_name", *window.names)
        self.push_screen(Entry(question, window.query.constraints, names), answered)
