"""Which runs are shown in `motoko top`: the study, the query, and the pages that are in sight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from textual.worker import Worker

from motoko.bus.messages import Transition
from motoko.cli.render.top import listings
from motoko.cli.render.top.lazy_table import LazyTable
from motoko.cli.render.top.run_window import PAGE, RunWindow
from motoko.errors import MotokoError
from motoko.reports.overview import COLUMNS
from motoko.reports.run_pages import RunQuery, run_page
from motoko.runs.references import Reference
from motoko.views.feed import Feed

READ_S = 1.0  # between two readings of the same runs; their states are shown before


class RunBrowser:
    """The runs that are shown.

    Args:
        feed: answers the questions.
        changed: called when something has to be drawn anew.
        refused: called with the error of a query.
        start: starts some work; an error that it raises ends the view.
    """

    def __init__(
        self,
        feed: Feed,
        changed: Callable[[], None],
        refused: Callable[[MotokoError], None],
        start: Callable[[Coroutine[None, None, None]], Worker[None]],
    ) -> None:
        self._feed = feed
        self._changed = changed
        self._refused = refused
        self._start = start
        self._reading: Worker[None] | None = None
        self._taken = 0
        self._changes = -1
        self.window = RunWindow(next(iter(feed.config.studies)), RunQuery())

    def run(self, row: int) -> Reference | None:
        """The run in a row."""
        run = self.window.run(row)
        return None if run is None else Reference(self.window.study, run.run_id)

    def line(self) -> str:
        """What is shown, for people."""
        query, total = self.window.query, self.window.total
        count = "reading" if total is None else f"{total:,} run{'' if total == 1 else 's'}"
        order = f"{query.sort or 'id'}{', largest first' if query.is_reverse else ''}"
        show, where = query.column or "all", query.constraints or "-"
        return f" {self.window.study}: {count}  show: {show}  sort: {order}  where: {where}"

    def follow(self) -> None:
        """Take over what the view has learnt since the last call."""
        view = self._feed.view
        new, self._taken = view.event_count - self._taken, view.event_count
        events: list[Transition] = list(view.events)[-new:] if new else []
        for event in events:
            self.window.take(event)
        changes = view.studies[self.window.study].changes
        if changes != self._changes:
            self._changes = changes
            self.window.outdate()

    def draw(self, table: LazyTable) -> None:
        """Show the runs in a table, and read those that are in sight and not known."""
        window = self.window
        table.empty = window.problem or ("no run" if window.total == 0 else "reading")
        table.show(listings.run_columns(window.names), window.total or 0, window.row)
        self.read(table)

    def read(self, table: LazyTable) -> None:
        """Read the runs that are in sight and not known."""
        if self._reading is None or self._reading.is_finished:
            needed = self.window.needed(table.first_seen, table.rows_seen)
            if needed is not None:
                self._reading = self._start(self._read_page(self.window, needed))

    def show(self, study: str, query: RunQuery) -> None:
        """Show other runs."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        self.window = RunWindow(study, query)

    def next_study(self) -> None:
        """Show the next study's runs."""
        names = list(self._feed.config.studies)
        self.show(names[(names.index(self.window.study) + 1) % len(names)], RunQuery())

    def next_filter(self) -> None:
        """Show the runs in the next column, or in the next of the user's own states."""
        states = self._feed.view.studies[self.window.study].states
        own = [state for state in sorted(states) if listings.is_users_own(state)]
        self.change(column=_after(self.window.query.column, ["", *COLUMNS, *own]))

    def next_sort(self) -> None:
        """Sort by the next column."""
        choices = ["", "state", "run_name", *self.window.names]
        self.change(sort=_after(self.window.query.sort, choices))

    def change(self, **changes: Any) -> None:
        """Show other runs of the study: ``changes`` are fields of :class:`RunQuery`."""
        self.show(self.window.study, replace(self.window.query, **changes))

    async def _read_page(self, window: RunWindow, number: int) -> None:
        config, was_known = self._feed.config, window.knows(number)
        study = config.studies[window.study]
        try:
            page = await self._feed.of_mirrors(
                lambda: run_page(config, study, window.query, number * PAGE, PAGE)
            )
        except MotokoError as error:
            window.problem = str(error)
            if window is self.window and window.query != RunQuery():
                self._refused(error)
                self.window = RunWindow(window.study, RunQuery())
            self._changed()
            return
        window.read(number, page)
        self._changed()
        if was_known:  # the first reading is shown at once, later ones may wait
            await asyncio.sleep(READ_S)
            self._changed()


def _after(choice: str, choices: list[str]) -> str:
    place = choices.index(choice) if choice in choices else 0
    return choices[(place + 1) % len(choices)]
