"""``motoko bug-report``: one file with the facts that are needed to find a fault."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH


@click.command(short_help="Pack what somebody needs to help, without secrets.")
@click.argument("directory", required=False, type=WORKFLOW_PATH)
@click.option("--output", "-o", type=WORKFLOW_PATH, help="The file, instead of one named by date.")
def command(directory: Path | None, output: Path | None) -> None:
    """Pack into one file what somebody needs to help: an archive that only you can read.

    The archive contains the output of `motoko ps` and `motoko doctor`, versions, motoko.yaml,
    bd.yaml and launch.sh of each study, and the end of each log. It does not contain your
    environment, the workflow's key, results or the files of runs. Values of `environment:`, and
    texts that look like a password, a token or a key, are replaced by ***. Look through the archive
    before you send it all the same.
    """
    from motoko.health.bug_reports import write
    from motoko.health.looked_at import place_of

    click.echo(write(place_of(directory), output))
