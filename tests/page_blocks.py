"""The code blocks of a page of the documentation, and what is to be done with each.

- A block whose first line is a comment with a file name, or that follows ``<!-- file: NAME -->``,
  is that file.
- A block with lines that begin with ``$`` are commands, each with what it prints below it.
- Other Python is executed in the page's Python; a block marked ``text`` right behind it is what it
  prints.
- ``<!-- not run: REASON -->`` before a block excuses it.
- ``<!-- hidden ... -->`` has blocks that readers do not see, such as files that the page supposes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_COMMENT = re.compile(r"<!-- *(?P<word>file|not run|hidden)\b:? *(?P<text>.*?) *-->\s*", re.DOTALL)
_FIRST_LINE = re.compile(r"(?:#|//|!) (?P<name>[\w./-]+\.\w+)$")
_PROMPT = re.compile(r"^\$ ", re.MULTILINE)


class Kind(Enum):
    FILE = "file"
    COMMANDS = "commands"
    PYTHON = "python"
    OUTPUT = "output"
    EXCUSED = "excused"
    NEITHER = "neither"


@dataclass(frozen=True)
class Block:
    """``end``: the line after it. ``argument``: a file's name, or the reason why it is not run."""

    line: int
    end: int
    text: str
    kind: Kind
    argument: str = ""


@dataclass(frozen=True)
class Command:
    """``shown``: the lines below it, none if the page shows nothing of what it prints."""

    text: str
    shown: list[str]


def blocks_of(text: str, first_line: int = 1) -> Iterator[Block]:
    """All blocks in the order of the page, those in comments included."""
    comment: re.Match[str] | None = None
    before: Kind | None = None
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "html_block":
            comment = _COMMENT.fullmatch(token.content)
            if comment and comment["word"] == "hidden":
                assert token.map is not None
                yield from blocks_of(comment["text"], first_line + token.map[0])
                comment = None
        elif token.type in ("fence", "code_block"):
            assert token.map is not None
            kind, argument = _kind(token.info.strip(), token.content, comment, before)
            begin, end = (first_line + line for line in token.map)
            yield Block(begin, end, token.content, kind, argument)
            comment, before = None, kind
        elif token.type not in ("list_item_open", "bullet_list_open", "ordered_list_open"):
            comment, before = None, None


def _kind(
    language: str, text: str, comment: re.Match[str] | None, before: Kind | None
) -> tuple[Kind, str]:
    if comment and comment["word"] == "not run":
        return Kind.EXCUSED, comment["text"]
    if comment:
        return Kind.FILE, comment["text"]
    if first := _FIRST_LINE.match(text.partition("\n")[0]):
        return Kind.FILE, first["name"]
    if _PROMPT.match(text):
        return Kind.COMMANDS, ""
    if language == "python":
        return Kind.PYTHON, ""
    if language == "text" and before is Kind.PYTHON:
        return Kind.OUTPUT, ""
    return Kind.NEITHER, ""


def commands_of(text: str) -> Iterator[Command]:
    """The commands of a block, a line each (or more, that end with a backslash)."""
    for part in _PROMPT.split(text)[1:]:
        lines = part.splitlines()
        end = next(n for n, line in enumerate(lines) if not line.endswith("\\")) + 1
        shown = lines[end:]
        while shown and not shown[-1].strip():
            del shown[-1]
        yield Command("\n".join(lines[:end]), shown)
