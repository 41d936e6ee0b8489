"""Makes a notebook of a page of the documentation: ``page_notebooks.py PAGE.md NOTEBOOK.ipynb``.

The page's text becomes Markdown, and its files, commands and Python become cells, one after
another. What the page shows of their output is in the cells' metadata, for tests.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from page_blocks import Block, Kind, blocks_of, commands_of

_COMMENT = re.compile(r"<!--.*?-->|<!--.*|^-->", re.DOTALL | re.MULTILINE)
_CD = re.compile(r"(?:(?P<first>.*) && )?cd (?P<place>\S+)")
_RUN = {Kind.FILE, Kind.COMMANDS, Kind.PYTHON, Kind.OUTPUT}


def notebook(page: str) -> dict[str, Any]:
    """The notebook of a page's text, as it is stored in a file."""
    lines = page.splitlines()
    cells: list[dict[str, Any]] = []
    made: set[str] = set()  # directories
    begin = 1
    for block in blocks_of(page):
        if block.kind in _RUN:
            cells += _text(lines[begin - 1 : block.line - 1])
            begin = block.end
        if block.kind is Kind.OUTPUT:
            cells[-1]["metadata"]["shown"] = block.text.splitlines()
        cells += _cells(block, made)
    cells += _text(lines[begin - 1 :])
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _text(lines: list[str]) -> Iterator[dict[str, Any]]:
    if (text := _COMMENT.sub("", "\n".join(lines)).strip("\n")).strip():
        yield {"cell_type": "markdown", "metadata": {}, "source": text}


def _cells(block: Block, made: set[str]) -> Iterator[dict[str, Any]]:
    if block.kind is Kind.FILE:
        directory = str(Path(block.argument).parent)
        if directory not in (".", *made):
            made.add(directory)
            yield _code(f"%mkdir -p {directory}")
        yield _code(f"%%writefile {block.argument}\n{block.text.rstrip()}")
    elif block.kind is Kind.PYTHON:
        yield _code(block.text.rstrip())
    elif block.kind is Kind.COMMANDS:
        for command in commands_of(block.text):
            if change := _CD.fullmatch(command.text):
                if change["first"]:
                    yield _code(f"%%bash\n{change['first']}")
                yield _code(f"%cd {change['place']}")
            else:
                yield _code(f"%%bash\n{command.text}", command.shown)


def _code(source: str, shown: list[str] | None = None) -> dict[str, Any]:
    if shown and any("motoko: error:" in line for line in shown):
        source = source.replace("%%bash", "%%bash --no-raise-error", 1)
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"shown": shown} if shown else {},
        "outputs": [],
        "source": source,
    }


if __name__ == "__main__":
    page, made = map(Path, sys.argv[1:])
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(json.dumps(notebook(page.read_text()), indent=1))
