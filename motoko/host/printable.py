"""Texts that can be shown: on a terminal, in a page, in a drawing."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """A text without characters that would control a terminal, or that no page can hold.

    White space such as a newline becomes a blank, and anything else a replacement character;
    characters in ``keep`` stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _shown(c) for c in text)


def _shown(character: str) -> str:
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def shortened(text: str, most: int) -> str:
    """A text on one line, of at most ``most`` characters; a longer one ends with ``...``."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 3]}..."
