"""A study's states as a bar of characters. Pure logic."""

from __future__ import annotations

from collections.abc import Mapping

# From the left. Each state has a character of its own: colours are not all that tells them apart.
PIECES = {"finished": "█", "failed": "x", "running": "▒", "created": "·"}
COLOURS = {"finished": "green", "failed": "red", "running": "yellow", "created": ""}


def bar(counts: Mapping[str, int], width: int) -> list[tuple[str, str]]:
    """The pieces of a bar from the left: the column's name, and its characters.

    Args:
        counts: how many runs each column of ``motoko.reports.overview.COLUMNS`` counts.
        width: the bar's width in characters. A column with any run has one at least, as long as
            there is room.
    """
    present = {name: counts[name] for name in PIECES if counts.get(name)}
    total = sum(present.values())
    cells = {name: 1 for name in sorted(present, key=lambda name: -present[name])[:width]}
    for _ in range(width - len(cells) if cells else 0):
        # Each further character goes to the column that lacks most of its share.
        name = max(cells, key=lambda name: present[name] * width / total - cells[name])
        cells[name] += 1
    return [(name, PIECES[name] * cells[name]) for name in PIECES if name in cells]
