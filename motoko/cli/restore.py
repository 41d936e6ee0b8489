"""``motoko restore``: make a workflow of a backup."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.texts import TEXT, WORKFLOW_PATH


@click.command(short_help="Make a workflow of a backup, as of any time.")
@click.argument("source", type=WORKFLOW_PATH)
@click.argument("directory", required=False, type=WORKFLOW_PATH, metavar="[DIR]")
@click.option(
    "--at", type=TEXT, default=None, metavar="TIME|TID", help="As of this time, or transaction."
)
@click.option("--overwrite", is_flag=True, help="Write into a directory that is not empty.")
@click.option("--list", "lists", is_flag=True, help="Show the backups, and restore nothing.")
def command(
    source: Path, directory: Path | None, at: str | None, overwrite: bool, lists: bool
) -> None:
    """Write the workflow of a backup into the directory DIR (by default the current one).

    SOURCE is a directory that `motoko backup` has made. With --at the databases are as they were
    just after that transaction, or at that local time; files and `workflow.vars` are those of the
    last backup before. What was packed away before a backup was made is not in it.

    A directory that is not empty is left alone, unless --overwrite is given. Then the files of the
    backup replace those in DIR, and other files stay.

    \b
    Examples:
      motoko restore /backups/flow --list
      motoko restore /backups/flow ~/flow-again
      motoko restore /backups/flow ~/flow-again --at "2026-11-30 09:00"
    """
    from motoko.host.durations import moment
    from motoko.operations.backup_directory import BackupDirectory
    from motoko.operations.restoring import restore

    if lists:
        for snapshot in BackupDirectory(source.absolute()).complete():
            runs = ", with run directories" if snapshot.has_runs else ""
            click.echo(f"{moment(snapshot.begun.timestamp())}{runs}")
            for study, copy in snapshot.databases.items():
                click.echo(f"  {study}: up to transaction {copy.tid}")
        return
    target = directory or Path()
    restored = restore(source, target, at=at or "", overwrite=overwrite)
    for name, tid in restored.studies.items():
        state = "it had no database then" if tid is None else f"up to transaction {tid}"
        click.echo(f"{name}: {state}")
    begun = moment(restored.files.begun.timestamp())
    click.echo(f"restored into {target.resolve()}, with the files of {begun}")
