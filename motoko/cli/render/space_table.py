"""The output of `motoko du`."""

from __future__ import annotations

import json

import click
import msgspec

from motoko.cli.render.tables import show_table
from motoko.host.sizes import shown
from motoko.reports.disk_usage import DiskUsage

COLUMNS = ("study", "database", "files", "mirror", "directories", "runs", "total")


def show(usage: DiskUsage) -> None:
    """Print a row for each study, and the sum."""
    rows = [
        (
            study.study,
            shown(study.database),
            shown(study.files),
            shown(study.mirror),
            str(study.directories),
            shown(study.runs),
            shown(study.total),
        )
        for study in usage.studies
    ]
    show_table(COLUMNS, rows, title=usage.workflow, right=COLUMNS[1:], dim=())
    click.echo(f"logs of daemons: {shown(usage.logs)}; all together: {shown(usage.total)}")


def show_json(usage: DiskUsage) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(msgspec.to_builtins(usage), indent=2))
