"""``motoko bug-report``: one file with what somebody needs to help."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH


@click.command(short_help="Pack what somebody needs to help, without secrets.")
@click.argument("directory", required=False, type=WORKFLOW_PATH)
@click.option("--output", "-o", type=WORKFLOW_PATH, help="The file, in place of a name with date.")
def command(directory: Path | None, output: Path | None) -> None:
    """Pack into one file what somebody needs to help: an archive that only you can read.

    In it are what `motoko ps` and `motoko doctor` say, versions, motoko.yaml, bd.yaml and launch.sh
    of each study, and the end of each log. Not in it are your environment, the workflow's key,
    results and the files of runs. Values of `environment:`, and what looks like a password, a token
    or a key, are replaced by ***. Look through it before you send it all the same.
    """
    from motoko.health.bug_reports import write
    from motoko.health.looked_at import place_of

    click.echo(write(place_of(directory), output))
