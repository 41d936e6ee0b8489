"""Tables: with colours on a terminal, plain aligned columns in a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence

import click

LAST_WIDTH = 24  # of the last column, which may be folded on a narrow terminal


def show(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table. ``right``: columns of numbers; ``styles``: the colours of whole columns."""
    if sys.stdout.isatty():
        _show_rich(columns, rows, right, styles or {})
        return
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
    right: Collection[str],
    styles: Mapping[str, str],
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in columns:
        justify = "right" if name in right else "left"
        folds = name == columns[-1] and name not in right
        table.add_column(name, justify=justify, no_wrap=not folds, style=styles.get(name))  # type: ignore[arg-type]
    for row in rows:
        # A zero is nothing to look at.
        table.add_row(*(Text(cell, style="dim" if cell in ("0", "-") else "") for cell in row))
    console = Console()
    # On a terminal too narrow for the short columns the lines run over: nothing is cut.
    widths = [max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True)]
    console.width = max(console.width, sum(widths[:-1]) + min(widths[-1], LAST_WIDTH))
    console.print(table)
