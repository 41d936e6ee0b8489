"""Cells, and columns that fit the width of a terminal. Pure logic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from motoko.host.printable import printable

# Pieces of text with the names of their styles.
Pieces = Sequence[tuple[str, str]]
Cell = str | Pieces
GAP = 2


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        label: what stands above it.
        width: in characters; at least, if it takes more.
        right: whether its cells are aligned right, as numbers are.
        weight: how much of the room that is left it takes.
        rank: columns of the highest rank are left out first where there is no room.
    """

    label: str
    width: int
    right: bool = False
    weight: int = 0
    rank: int = 0


def fitted(columns: Sequence[Column], width: int) -> list[tuple[int, int]]:
    """The columns that fit: their places among all, and their widths."""
    kept = list(range(len(columns)))

    def needed() -> int:
        return sum(columns[place].width for place in kept) + GAP * (len(kept) - 1)

    while needed() > width and any(columns[place].rank for place in kept):
        # Of the same rank the last goes first.
        kept.remove(max(kept, key=lambda place: (columns[place].rank, place)))
    room = max(0, width - needed())
    weight = sum(columns[place].weight for place in kept)
    widths = []
    for place in kept:
        more = room * columns[place].weight // weight if weight else 0
        widths.append((place, columns[place].width + more))
    return widths


def line(columns: Sequence[Column], cells: Sequence[Cell], width: int) -> list[tuple[str, str]]:
    """One row as pieces that are ``width`` characters wide together; cut-off texts end in ``…``."""
    pieces: list[tuple[str, str]] = []
    for place, room in fitted(columns, width):
        if pieces:
            pieces.append((" " * GAP, ""))
        pieces += _sized(cells[place], room, columns[place].right)
    used = sum(cell_len(text) for text, _ in pieces)
    if used > width:
        return _sized(pieces, width, False)
    return [*pieces, (" " * (width - used), "")]


def _sized(cell: Cell, width: int, right: bool) -> list[tuple[str, str]]:
    given = [(printable(cell), "")] if isinstance(cell, str) else [*cell]
    used = sum(cell_len(text) for text, _ in given)
    if used <= width:
        padding = (" " * (width - used), "")
        return [padding, *given] if right else [*given, padding]
    room, sized = max(0, width - 1), list[tuple[str, str]]()
    for text, style in given:
        kept = text if cell_len(text) <= room else set_cell_size(text, room)
        sized.append((kept, style))
        room -= cell_len(kept)
    return [*sized, ("…" if width else "", "")]
