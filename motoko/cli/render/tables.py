"""Tables: with colours on a terminal, plain aligned columns in a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence

import click

LAST_WIDTH = 16  # of the last column, which may be folded on a narrow terminal
Style = str | Callable[[str], str]


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    right: Collection[str] = (),
    styles: Mapping[str, Style] | None = None,
    dim: Collection[str] = ("0", "-"),
) -> None:
    """Print a table.

    Args:
        columns: the columns' names.
        rows: the cells.
        title: a line above the table.
        right: the columns of numbers, which are aligned right.
        styles: the colours of columns, or functions that give the colours of a column's cells.
        dim: the texts of unimportant cells, which are dimmed.
    """
    if sys.stdout.isatty():
        _show_rich(columns, rows, title, right, styles or {}, dim)
        return
    if title:
        click.echo(title)
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _show_rich(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str,
    right: Collection[str],
    styles: Mapping[str, Style],
    dim: Collection[str],
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title) if title else None, title_justify="left", box=None, pad_edge=False
    )
    for name in columns:
        style = styles.get(name, "")
        table.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name != columns[-1] or name in right,
            style=style if isinstance(style, str) else "",
        )

    def cell(name: str, text: str) -> Text:
        style = styles.get(name, "")
        shown = style(text) if callable(style) else ""
        return Text(text, style=shown or ("dim" if text in dim else ""))

    for row in rows:
        table.add_row(*(cell(name, text) for name, text in zip(columns, row, strict=True)))
    console = Console()
    # If the terminal is too narrow for the short columns, the lines wrap: nothing is cut off.
    widths = [max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True)]
    console.width = max(console.width, sum(widths[:-1]) + min(widths[-1], LAST_WIDTH))
    console.print(table)
