"""``motoko create``: initialise the studies' databases."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH
from motoko.config import load
from motoko.errors import NotConfirmed


@click.command()
@click.argument("directory", required=False, type=WORKFLOW_PATH)
@click.option(
    *("--yes", "-y", "--validated", "validated"),
    is_flag=True,
    help="Reset existing studies without asking.",
)
@click.option("--missing", is_flag=True, help="Keep existing studies; make only what is missing.")
def command(directory: Path | None, validated: bool, missing: bool) -> None:
    """Initialise the database of every study of the workflow. Nothing is left running.

    Existing studies are reset only after a question on the terminal, which says what would be
    lost; without a terminal the command refuses to reset them. With --yes (in motoko 0.1.4:
    --validated) it asks nothing and resets them, with --missing it asks nothing and keeps them.
    """
    from motoko.control.daemon_records import refuse_guests
    from motoko.operations.creation import create_workflow, describe, existing
    from motoko.operations.file_warnings import file_warnings

    if validated and missing:
        raise click.UsageError("--yes resets existing studies, and --missing keeps them")
    config = load(directory)
    for warning in (*config.warnings, *file_warnings(config)):
        click.echo(f"motoko: warning: {warning}", err=True)
    refuse_guests(config)
    lost = existing(config)
    made = [name for name, study in config.studies.items() if study.is_local and name not in lost]
    reset = create_workflow(config, validated=validated, keep=missing)
    if made:
        click.echo(f"created: {', '.join(made)}")
    if lost and reset:
        click.echo(f"reset, with all they held:\n{describe(lost)}")
    for name, study in config.studies.items():
        if not study.is_local:
            click.echo(f"left alone: {name}, which is served at {study.host}")
    if missing and not made:
        click.echo("every study has a database: nothing was missing")
    if not (reset or missing):
        raise NotConfirmed(
            "the existing studies were not reset", hint="nothing in them was changed"
        )
