"""``motoko create``: initialise the studies' databases."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.config import load
from motoko.errors import MotokoError


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--validated", is_flag=True, help="Reset existing studies without asking.")
def command(directory: Path | None, validated: bool) -> None:
    """Initialise the database of every study of the workflow. Nothing is left running.

    Studies that exist are reset only after a question on the terminal, which says what would be
    lost, or with --validated.
    """
    from motoko.creation import create_workflow, describe, existing

    config = load(directory)
    for warning in config.warnings:
        click.echo(f"motoko: warning: {warning}", err=True)
    lost = existing(config)
    made = [name for name, study in config.studies.items() if study.is_local and name not in lost]
    reset = create_workflow(config, validated=validated)
    if made:
        click.echo(f"created: {', '.join(made)}")
    if lost and reset:
        click.echo(f"reset, with all they held:\n{describe(lost)}")
    for name, study in config.studies.items():
        if not study.is_local:
            click.echo(f"left alone: {name}, which is served at {study.host}")
    if not reset:
        raise MotokoError("the existing studies were not reset", hint="nothing in them was changed")
