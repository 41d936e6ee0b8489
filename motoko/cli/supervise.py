"""``motoko supervise``: start the workflow's daemons and look after them."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.batch.registry import available
from motoko.cli.render import joined_supervisor
from motoko.cli.texts import TEXT, WORKFLOW_PATH
from motoko.config import load
from motoko.control import client, daemon_records
from motoko.operations import starting
from motoko.operations.file_warnings import file_warnings
from motoko.operations.generator_check import check_generators


@click.command()
@click.argument("motoko_yaml", required=False, type=WORKFLOW_PATH)
@click.option("--detach", is_flag=True, help="Go to the background once all daemons are ready.")
@click.option("--slots", type=click.IntRange(min=1), help="Runs at once, counted in nproc.")
@click.option(
    "--generator", type=TEXT, help=f"{' or '.join(available())}, in place of motoko.yaml's."
)
@click.option("--no-launchers", is_flag=True, help="Start no launchers, and so no runs.")
@click.option(
    "--takeover", is_flag=True, help="End running daemons of BlackDynamite and motoko 0.1.4."
)
def command(
    motoko_yaml: Path | None,
    detach: bool,
    slots: int | None,
    generator: str | None,
    no_launchers: bool,
    takeover: bool,
) -> None:
    """Start the workflow's daemons and look after them.

    MOTOKO_YAML is the file or its directory, by default the current directory. In the foreground,
    Ctrl-C stops everything. If the workflow is supervised already, missing launchers and daemons
    that were given up are started; launchers with other --slots or another --generator are
    restarted with the given ones. Runs go on.

    A ZEO server that BlackDynamite's commands have left running is ended. If launch daemons of
    BlackDynamite or motoko 0.1.4 are running, nothing is started, unless --takeover ends them.
    """
    if no_launchers and (slots is not None or generator is not None):
        raise click.UsageError("--slots and --generator are for launchers: drop --no-launchers")
    config = load(motoko_yaml)
    if generator is not None:
        check_generators(config, generator)
    for warning in (*config.warnings, *file_warnings(config)):
        click.echo(f"motoko: warning: {warning}", err=True)
    from motoko.operations import upgrading

    for warning in upgrading.warnings(config):
        click.echo(f"motoko: warning: {warning}", err=True)
    launchers = not no_launchers
    daemon_records.refuse_guests(config)
    starting.let_moved_end(config, click.echo)
    if detach and not client.is_supervised(config):
        starting.start_detached(
            config.path,
            launchers=launchers,
            slots=slots,
            generator=generator,
            takeover=takeover,
            announce=click.echo,
        )
    else:
        from motoko.supervisor.foreground import supervise_or_join

        supervise_or_join(
            config,
            joined_supervisor.show,
            launchers=launchers,
            slots=slots,
            generator=generator,
            takeover=takeover,
        )
