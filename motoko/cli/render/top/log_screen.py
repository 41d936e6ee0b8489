"""The end of a daemon's log, as it grows."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from motoko.host.log_reading import Log
from motoko.host.printable import printable

LOOK_S = 0.5
LINES = 500


class LogScreen(Screen[None]):
    """A log, shown until escape.

    Args:
        name: the daemon.
        path: its log.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,left", "app.pop_screen", "Back")]

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self._path = path
        self._log = Log(name, path)
        self._lines: list[str] = []

    def compose(self) -> ComposeResult:
        yield Static(Content(f" {self._path} (times are in UTC)"), id="run-head")
        with VerticalScroll(id="output"):
            yield Static(id="output-text")
        yield Footer()

    def on_mount(self) -> None:
        self._lines = [line for event in self._log.last(LINES) for line in event.lines]
        self._show()
        self.set_interval(LOOK_S, self._look)

    def on_unmount(self) -> None:
        self._log.close()

    def _look(self) -> None:
        if more := [line for event in self._log.more() for line in event.lines]:
            self._lines = [*self._lines, *more][-LINES:]
            self._show()

    def _show(self) -> None:
        area = self.query_one("#output", VerticalScroll)
        is_at_end = area.scroll_offset.y >= area.max_scroll_y - 1
        text = "\n".join(printable(line) for line in self._lines) or "nothing logged yet"
        self.query_one("#output-text", Static).update(Content(text))
        if is_at_end:
            self.call_after_refresh(area.scroll_end, animate=False)
