"""``motoko ps``: the workflow's processes and their health. Changes nothing."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render import process_table
from motoko.cli.render.standing_line import tell_standing
from motoko.cli.taken_config import load_or_taken
from motoko.cli.texts import WORKFLOW_PATH
from motoko.reports.status import OF_OTHERS, collect

EXIT_NOT_READY = 1
EXIT_NO_SUPERVISOR = 3


@click.command()
@click.argument("directory", required=False, type=WORKFLOW_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, directory: Path | None, as_json: bool) -> None:
    """Show the workflow's processes and their health.

    Exits with 0 if everything is ready, 1 if something is not, 3 if there is no supervisor.
    """
    config = load_or_taken(directory)
    tell_standing(config)
    status = collect(config)
    show = process_table.show_json if as_json else process_table.show
    show(status)
    if status.supervisor.pid is None and status.supervisor.state != OF_OTHERS:
        context.exit(EXIT_NO_SUPERVISOR)
    if status.supervisor.state != "ready":
        context.exit(EXIT_NOT_READY)
