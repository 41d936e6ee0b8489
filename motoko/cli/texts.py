"""Texts on the command line: an empty text (an unset shell variable) never means everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

EMPTY = "it is empty: is a variable of your shell not set?"


class Text(click.ParamType[str]):
    """A text that is not empty."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.strip():
            self.fail(EMPTY, param, ctx)
        return text


class WorkflowPath(click.Path):
    """A workflow's directory or motoko.yaml: an empty text is not the current directory."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).strip():
            self.fail(EMPTY, param, ctx)
        return super().convert(value, param, ctx)


TEXT = Text()
WORKFLOW_PATH = WorkflowPath()
