"""A table that draws only the rows that are seen, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from motoko.cli.render.top.cells import Cell, Column, line

Row = Callable[[int], Sequence[Cell] | None]
HEADER = Style(bold=True, dim=True)
DRAWN_MAX = 1_000
CURSOR = Style(bold=True, bgcolor="#264f78")  # the colours of bars stay readable on it


class LazyTable(ScrollView, can_focus=True):
    """Rows below a header that stays; the cursor is on one row.

    Attributes:
        cursor: the row with the cursor.
        empty: what is shown if there is no row.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown,space", "page(1)", "Page down", show=False),
        Binding("home,g", "move(-1000000000)", "First", show=False),
        Binding("end,G", "move(1000000000)", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]

    class Moved(Message):
        """The rows that are seen, or the cursor, have changed."""

    class Chosen(Message):
        """The user has opened the row with the cursor."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.cursor = 0
        self.empty = ""
        self._columns: tuple[Column, ...] = ()
        self._drawn: dict[int, Sequence[Cell] | None] = {}  # the rows, as they were drawn last
        self._count = 0
        self._row: Row = lambda place: None
        self._style = Style()

    @property
    def control(self) -> LazyTable:
        """Itself: for messages."""
        return self

    @property
    def row_width(self) -> int:
        """How many characters wide a row is, without the margins."""
        return max(1, self.size.width - 2)

    @property
    def rows_seen(self) -> int:
        """How many rows there is room for."""
        return max(1, self.size.height - 1)

    @property
    def first_seen(self) -> int:
        """The first row that is seen."""
        return int(self.scroll_offset.y)

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return self._count

    def show(self, columns: Sequence[Column], count: int, row: Row) -> None:
        """Show a table; ``row`` gives a row's cells, or ``None`` while they are not known.

        Only the rows that have changed are drawn.
        """
        is_same = tuple(columns) == self._columns and count == self._count
        self._columns, self._row = tuple(columns), row
        if count != self._count:
            self._count = count
            self.virtual_size = Size(self.size.width, count + 1)
        if self.cursor >= count:
            self.cursor = max(0, count - 1)
        if not is_same or not count:
            self.refresh()
            return
        seen = range(self.first_seen, min(self.first_seen + self.rows_seen, count))
        for number in seen:
            if self._drawn.get(number, "") != row(number):
                self.refresh(Region(0, number - self.first_seen + 1, self.size.width, 1))

    def move_to(self, row: int) -> None:
        """Put the cursor on a row, and scroll there."""
        self.cursor = min(max(0, row), max(0, self._count - 1))
        first = self.first_seen
        if self.cursor < first:
            first = self.cursor
        elif self.cursor >= first + self.rows_seen:
            first = self.cursor - self.rows_seen + 1
        if first != self.first_seen:
            self.scroll_to(y=first, animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def action_move(self, rows: int) -> None:
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self.move_to(self.cursor + pages * self.rows_seen)

    def action_choose(self) -> None:
        if self._count:
            self.post_message(self.Chosen())

    def on_click(self, event: events.Click) -> None:
        row = self.first_seen + event.y - 1
        if event.y > 0 and row < self._count:
            again = row == self.cursor
            self.move_to(row)
            if again:
                self.action_choose()

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, self._count + 1)
        self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Moved())

    def render_lines(self, crop: Region) -> list[Strip]:
        self._style = self.rich_style  # which takes longer than a row
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._strip([column.label for column in self._columns], HEADER, width)
        row = self.first_seen + y - 1
        if row >= self._count:
            text = f" {self.empty}" if y == 2 and not self._count else ""
            return Strip([Segment(text[:width].ljust(width), self._style)], width)
        if len(self._drawn) > DRAWN_MAX:
            self._drawn.clear()
        self._drawn[row] = self._row(row)
        cells = self._drawn[row] or [""] * len(self._columns)
        return self._strip(cells, CURSOR if row == self.cursor and self.has_focus else None, width)

    def _strip(self, cells: Sequence[Cell], style: Style | None, width: int) -> Strip:
        base = self._style if style is None else self._style + style
        pieces = [(" ", ""), *line(self._columns, cells, self.row_width), (" ", "")]
        segments = [  # as few as possible: each takes some time to draw
            Segment("".join(text for text, _ in same), base + Style.parse(name) if name else base)
            for name, same in groupby((piece for piece in pieces if piece[0]), itemgetter(1))
        ]
        return Strip(segments, width)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
