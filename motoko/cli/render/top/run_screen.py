"""One run: what `motoko explain` knows of it, its values, and its output as it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from motoko.cli.render import explained
from motoko.cli.render.top import listings
from motoko.config import WorkflowConfig
from motoko.errors import MotokoError
from motoko.host.durations import moment
from motoko.host.printable import printable
from motoko.reports.run_facts import ENDED
from motoko.reports.run_pages import RunQuery, run_page
from motoko.runs.outputs import tail
from motoko.runs.references import Reference
from motoko.views.feed import Feed

LOOK_S = 0.5
LINES = 500
AGAIN_S = 0.1  # between two readings of a run that changes


class RunScreen(Screen[None]):
    """One run, shown until escape.

    Args:
        feed: where its study's changes come from.
        run: the run.
        at_output: whether the keys scroll the output first, and not what is above it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,left", "app.pop_screen", "Back"),
        Binding("c", "app.cancel_run", "Cancel"),
        Binding("r", "app.retry_run", "Retry"),
        Binding("tab", "app.focus_next", "Other half"),
    ]

    def __init__(self, feed: Feed, run: Reference, *, at_output: bool = False) -> None:
        super().__init__()
        self._at_output = at_output
        self.run = run
        self._feed = feed
        self._outputs: tuple[Path, ...] = ()
        self._sizes: tuple[tuple[str, int], ...] | None = None
        self._has_ended = False
        self._reads, self._events = -1, 0
        self._news = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield Static(id="run-head")
        with VerticalScroll(id="run-facts"):
            yield Static("reading ...", id="run-text")
        yield Static(id="output-head")
        with VerticalScroll(id="output"):
            yield Static(id="output-text")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#output" if self._at_output else "#run-facts").focus()
        self.set_interval(LOOK_S, self.look)
        self._events = self._feed.view.event_count
        self.look()
        self.run_worker(self._follow())

    def look(self) -> None:
        """Read the run if it has changed, and its output if that has grown."""
        view = self._feed.view
        if self._is_news():
            self._news.set()
        if not self._has_ended or self._sizes is None:
            self._show_output()
        at = listings.clock(view.stands_at(view.studies[self.run.study]))
        self.query_one("#run-head", Static).update(
            Content.assemble((f" {self.run.study}.{self.run.run_id}", "bold"), f"   as of {at}")
        )

    def _is_news(self) -> bool:
        """Whether the run has changed, or may have, since the last call."""
        view, names = self._feed.view, (self.run.study, self.run.run_id)
        changed, reads = view.changed_since(self._events), view.studies[self.run.study].reads
        is_read, self._events, self._reads = reads != self._reads, view.event_count, reads
        return is_read or changed is None or names in changed

    async def _follow(self) -> None:
        while True:
            self._news.clear()
            await self._read()
            await asyncio.sleep(AGAIN_S)
            await self._news.wait()

    async def _read(self) -> None:
        config, run = self._feed.config, self.run
        try:
            lines, outputs, ended = await self._feed.of_bases(lambda: _facts(config, run))
            values = await self._feed.of_mirrors(lambda: _values(config, run))
            place = lines.index("") if "" in lines else len(lines)
            lines[place:place] = values  # below what it says and what to do, above the rest
        except MotokoError as error:
            lines, outputs, ended = [str(error), error.hint or ""], (), False
        self._outputs, self._has_ended, self._sizes = outputs, ended, None
        text = "\n".join(printable(line) for line in lines)
        if self.is_mounted:
            self.query_one("#run-text", Static).update(Content(text))
            self._show_output()

    def _show_output(self) -> None:
        sizes = tuple((path.name, _size(path)) for path in self._outputs)
        if sizes == self._sizes:
            return
        self._sizes = sizes
        parts = []
        for path in self._outputs[-2:]:
            text = "\n".join(printable(line.expandtabs()) for line in _lines(path))
            parts.append(Content.assemble((f"{path.name}\n", "bold"), text))
        content = Content("\n").join(parts) if parts else Content("nothing printed yet")
        head = f" output, the last lines, at {listings.clock(time.time())}"
        self.query_one("#output-head", Static).update(Content(head))
        area = self.query_one("#output", VerticalScroll)
        is_at_end = area.scroll_offset.y >= area.max_scroll_y - 1
        self.query_one("#output-text", Static).update(content)
        if is_at_end:
            self.call_after_refresh(area.scroll_end, animate=False)


def _facts(config: WorkflowConfig, run: Reference) -> tuple[list[str], tuple[Path, ...], bool]:
    """The explanation's lines, the output files, and whether the run has ended. Blocks."""
    from motoko.reports.explain_facts import gather
    from motoko.reports.explanation import explain

    facts = gather(config, config.studies[run.study], run.run_id)
    explanation = explain(facts)
    return [*explained.lines(facts, explanation)], facts.outputs, explanation.status == ENDED


def _values(config: WorkflowConfig, run: Reference) -> list[str]:
    """The run's times, parameters and results, in lines. Blocks."""
    study = config.studies[run.study]
    page = run_page(config, study, RunQuery(constraints=f"runs.id = {run.run_id}"), 0, 1)
    lines: list[str] = []
    for shown in page.runs:
        known: list[tuple[str, object]] = [
            (name, value)
            for name, value in zip(page.names, shown.values, strict=True)
            if value is not None
        ]
        if shown.started is not None:
            known.insert(0, ("started", moment(shown.started)))
        width = max((len(name) for name, _ in known), default=0)
        lines += [""] if known else []
        lines += [f"{name:{width}}  {value}" for name, value in known]
    return lines


def _lines(path: Path) -> Sequence[str]:
    return tail(path, LINES).splitlines()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
