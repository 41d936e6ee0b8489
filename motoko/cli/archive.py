"""``motoko archive``: one file with all that others need to check and to use what was computed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from motoko.cli.selecting import study_arguments, study_named
from motoko.cli.texts import TEXT
from motoko.config import load
from motoko.errors import ConfigError

if TYPE_CHECKING:
    from motoko.operations.archive_file import ArchiveWriter

SHOWN = 10  # of the files that are left out, so many are named
EVERY_S = 2.0


@click.command(short_help="Write all that was computed, and how, into one file for others.")
@study_arguments()
@click.option("--all", "everything", is_flag=True, help="All studies of the workflow.")
@click.option(
    *("output", "-o", "--output"),
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.zip",
    help="The archive.",
)
@click.option(
    "--outputs",
    multiple=True,
    type=TEXT,
    metavar="none|results|all|PATTERN",
    help="Which files of run directories are in it; by default results. May be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE.zip if it exists.")
def command(
    studies: tuple[str, ...],
    everything: bool,
    output: Path,
    outputs: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Write studies, with all that others need to check and use them, into one file: an RO-Crate.

    The archive has the databases as of one transaction each, tables of all parameters and results
    (CSV, and Parquet with motoko[table]), the scripts and bd.yaml of all studies, motoko.yaml and
    the orchestrator, the graph of which runs led to which, the report, the versions of all
    packages, the git commit, and checksums. `archive:` in motoko.yaml names licence and authors. It
    needs motoko[archive]. The workflow may be running, and is not changed.

    Of run directories it has what runs have pushed and what `results:` were read from; with
    `--outputs all` everything; or files that match a pattern of their path in the run directory, in
    which * also stands for slashes.

    Values of `environment:` and all of `notify:` are left out; a file that holds such a value, or a
    key, is refused.

    \b
    Examples:
      motoko archive --all -o paper.zip
      motoko archive solve -o solve.zip --outputs none
      motoko archive solve -o solve.zip --outputs results --outputs '*.vtu'
      motoko unarchive paper.zip
    """
    from motoko.cli.render.archive_contents import made
    from motoko.cli.render.study_tables import has_parquet
    from motoko.health.known_secrets import known_secrets
    from motoko.host.durations import counted
    from motoko.host.sizes import shown
    from motoko.operations import archiving
    from motoko.operations.archive_staging import place_for, staged

    if everything == bool(studies):
        raise click.UsageError("name studies, or give --all")
    config = load()
    wanted = [study_named(config, name) for name in dict.fromkeys(studies)]
    wanted = [*config.studies.values()] if everything else wanted
    for study in wanted:
        if not everything:
            study.check_created()
    outputs = outputs or ("results",)
    archiving.check(output, outputs, overwrite=overwrite)
    settings = config.archive
    secrets = known_secrets(config.directory, config, os.environ, settings.environment)
    now = archiving.moment()
    with archiving.writing(output), place_for(output.absolute()) as place:
        staging = staged(config, wanted, place)
        if not staging.studies:
            why = "; ".join(
                f"{study.name}: {staging.states[study.name].reason}" for study in wanted
            )
            raise ConfigError(f"there is no database to archive: {why}", hint="nothing was written")
        contents = made(config, staging, outputs, now)
        written = archiving.write(config, staging, contents, output.absolute(), secrets, _teller())
    for name, state in staging.states.items():
        if state.tid is not None:
            runs = counted(contents.facts.runs[name], "run")
            click.echo(f"{name}: {runs}, as of transaction {state.tid}")
        elif config.studies[name] in wanted:
            click.echo(f"{name}: not in it: {state.reason}")
    for name, why in written.left_out[:SHOWN]:
        click.echo(f"left out: {name}: {why}", err=True)
    if written.left_out_count > SHOWN:
        rest = written.left_out_count - SHOWN
        click.echo(f"left out: {rest} more: see motoko-archive/archive.json in it", err=True)
    if staging.variables:
        names = ", ".join(staging.variables)
        click.echo(f"without the values of environment: {names}", err=True)
    if not has_parquet():
        click.echo("without Parquet: pip install 'motoko[table]'", err=True)
    if settings.licence is None:
        click.echo(
            "it names no licence, so nobody may use it: write `archive: {licence: CC-BY-4.0}` "
            "into motoko.yaml",
            err=True,
        )
    sizes = [member.size for name, member in written.members.items() if "/BD-" in name]
    runs = f"{counted(len(sizes), 'file')} of runs ({', '.join(outputs)}: {shown(sum(sizes))})"
    files = f"{counted(len(written.members), 'file')}, {shown(written.size)}, with {runs}"
    click.echo(f"{output}: {shown(output.stat().st_size)}; unpacked: {files}")


def _teller() -> Callable[[ArchiveWriter], None]:
    """What tells on a terminal, now and then, how much was written."""
    last = time.monotonic()

    def tell(writer: ArchiveWriter) -> None:
        nonlocal last
        if sys.stderr.isatty() and time.monotonic() > last + EVERY_S:
            from motoko.host.sizes import shown

            last = time.monotonic()
            click.echo(f"{len(writer.members):,} files, {shown(writer.size)} so far ...", err=True)

    return tell
