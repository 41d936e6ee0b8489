"""``motoko backup``: keep copies of all that a workflow has."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH
from motoko.config import load


@click.command(short_help="Back up databases, vars and files, while all goes on.")
@click.argument("place", type=WORKFLOW_PATH, metavar="DEST")
@click.option("--full", is_flag=True, help="Copy the whole databases again.")
@click.option("--runs", is_flag=True, help="Back up the run directories, too.")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Remove older backups in DEST, so that N are left.",
)
@click.option("--verify", is_flag=True, help="Check the backups in DEST instead of making one.")
def command(place: Path, full: bool, runs: bool, keep: int | None, verify: bool) -> None:
    """Add a backup of the workflow to the directory DEST, which is made if it is missing.

    A backup has the databases of all studies, `workflow.vars`, motoko.yaml, the orchestrator and
    all other files in the workflow's directory; run directories only with --runs. The workflow may
    be running: each database is as it was after one transaction, which is shown. After the first
    backup only what is new is copied, except that a packed database is copied whole.

    `motoko restore DEST` makes a workflow of it, as of any time between the backups.

    \b
    Examples:
      motoko backup /backups/flow
      motoko backup /backups/flow --runs
      motoko backup /backups/flow --keep 60
      motoko backup /backups/flow --verify
    """
    from motoko.host.durations import counted, moment
    from motoko.host.sizes import shown
    from motoko.operations import backing_up

    if verify:
        if full or runs or keep is not None:
            raise click.UsageError("--verify makes no backup: leave out --full, --runs and --keep")
        snapshots = backing_up.verify(place)
        click.echo(f"{counted(len(snapshots), 'backup')}, all as they were made")
        return
    made = backing_up.back_up(load(), place, whole=full, with_runs=runs, keep=keep)
    for study in made.studies:
        if study.copy is None:
            click.echo(f"{study.study}: no database ({study.reason})")
            continue
        size = f"{shown(study.copy.size)}, {shown(study.added)} copied"
        reason = f" ({study.reason})" if study.reason else ""
        click.echo(f"{study.study}: {size}{reason}; up to transaction {study.copy.tid}")
    files = counted(len(made.snapshot.files), "file")
    click.echo(f"{files}, {made.new_files} of them new or changed ({shown(made.new_bytes)})")
    click.echo(f"backup of {moment(made.snapshot.begun.timestamp())} in {place}")
    if made.removed:
        click.echo(f"removed {counted(made.removed, 'older backup')}")
