"""Texts on the command line: an empty text (an unset shell variable) never means everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from motoko.host.durations import EXAMPLES, seconds

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


class TimeSpan(click.ParamType[float]):
    """A time span such as 30d or 1h30m, in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return seconds(value)
        except ValueError:
            self.fail(f"{str(value)!r} is no time: write one such as 30d or {EXAMPLES}", param, ctx)


TEXT = Text()
TIME_SPAN = TimeSpan()
WORKFLOW_PATH = WorkflowPath()
