"""``motoko du``: where the space is."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.render.standing_line import tell_standing
from motoko.cli.taken_config import load_or_taken
from motoko.cli.texts import WORKFLOW_PATH


@click.command(short_help="Show where the workflow's space on the disk is.")
@click.argument("directory", required=False, type=WORKFLOW_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; sizes in bytes.")
def command(directory: Path | None, as_json: bool) -> None:
    """Show how much space the studies' databases, run directories and logs take.

    `motoko pack` makes databases smaller; `motoko clean --directories` removes run directories, and
    keeps results, times and states.
    """
    from motoko.cli.render.space_table import show, show_json
    from motoko.reports.disk_usage import collect

    config = load_or_taken(directory)
    tell_standing(config)
    usage = collect(config)
    (show_json if as_json else show)(usage)
