"""The lines that `motoko run --dry-run` prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from motoko.host.durations import counted
from motoko.runs.references import listed

if TYPE_CHECKING:
    from motoko.api.rehearsal import StudyRehearsal


def show(studies: list[StudyRehearsal]) -> None:
    """Print the runs that each study would get, and the launch.sh of its first new run."""
    for study in studies:
        line = f"{study.study}: {counted(len(study.new), 'new run')}"
        if study.existing:
            names = listed([f"{study.study}.{number}" for number in study.existing])
            line += f", {len(study.existing)} there already: {names}"
        click.echo(line)
        if study.new:
            click.echo(f"  launch.sh of {study.study}.{study.new[0]}:")
            for text in study.launch.splitlines():
                click.echo(f"    {text}".rstrip())
    click.echo("dry run: nothing was executed, and nothing is kept")
