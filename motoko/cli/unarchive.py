"""``motoko unarchive``: make a workflow of an archive again."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH
from motoko.config import load
from motoko.errors import MotokoError


@click.command(short_help="Make a workflow of an archive again.")
@click.argument("file", type=WORKFLOW_PATH, metavar="FILE.zip")
@click.argument("directory", required=False, type=WORKFLOW_PATH, metavar="[DIR]")
def command(file: Path, directory: Path | None) -> None:
    """Unpack the workflow in an archive into DIR, which is new or empty.

    By default DIR is named as the archive, in the current directory. FILE.zip is what `motoko
    archive` has written. All checksums are checked first. The workflow in DIR is one of its own:
    `motoko info`, `table`, `explain` and all others read it, and `motoko supervise` starts it
    again. Nothing is overwritten, and nothing in the archive is executed.

    \b
    Examples:
      motoko unarchive paper.zip
      motoko unarchive paper.zip ~/paper
    """
    from motoko.operations.unarchiving import unarchive

    target = directory if directory is not None else Path(file.stem)
    about = unarchive(file, target)
    for name, state in about.studies.items():
        if state.tid is None:
            click.echo(f"{name}: without its database ({state.reason})")
        else:
            click.echo(f"{name}: as of transaction {state.tid}")
    if about.variables:
        names = ", ".join(about.variables)
        click.echo(f"write the values of environment: before runs are started: {names}", err=True)
    path = target.resolve() / about.workflow
    click.echo(f"unpacked into {target.resolve()}, with all checksums as they should be")
    try:
        load(path)
    except MotokoError as error:
        click.echo(f"the workflow cannot be used as it is: {error}", err=True)
