"""``motoko pack``: make the studies' databases smaller."""

from __future__ import annotations

import click

from motoko.cli.selecting import study_arguments, study_named
from motoko.config import load
from motoko.config.packing_settings import DAYS


@click.command(short_help="Make databases smaller: drop old history.")
@study_arguments()
@click.option(
    "--days",
    type=click.FloatRange(min=0),
    default=DAYS,
    show_default=True,
    help="How much history to keep. If the study is served, the last minute stays.",
)
def command(studies: tuple[str, ...], days: float) -> None:
    """Pack the databases of studies (all of them by default).

    A database keeps each change of each run, so its file grows as long as anything changes. Packing
    drops what was overwritten more than --days ago: runs, jobs, results and their present state
    stay, `motoko table --at` knows only times since then. Everything may go on meanwhile. The disk
    needs room for a copy of what stays.

    `packing: {when: 5x}` in motoko.yaml has it done automatically.

    \b
    Examples:
      motoko pack
      motoko pack mult --days 30
    """
    from motoko.host.durations import moment
    from motoko.host.sizes import shown
    from motoko.operations.packing_studies import pack_studies

    config = load()
    chosen = [study_named(config, name) for name in studies]
    for study in [] if chosen else config.studies.values():
        if not study.is_local:
            click.echo(f"{study.name}: its database is elsewhere: {study.host}")
        elif not study.created:
            click.echo(f"{study.name}: not created")
        else:
            chosen.append(study)
    for study, packed in pack_studies(config, chosen, days):
        kept = f"history since {moment(packed.until)} is kept"
        if packed.freed:
            was = f"{shown(packed.before)} before, {shown(packed.freed)} freed"
            click.echo(f"{study.name}: {shown(packed.after)} ({was}); {kept}")
        else:
            click.echo(f"{study.name}: {shown(packed.after)}, nothing to drop; {kept}")
