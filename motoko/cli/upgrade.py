"""``motoko upgrade``: have what runs execute the installed version."""

from __future__ import annotations

import click

from motoko.cli.texts import TIME_SPAN
from motoko.config import load


@click.command(short_help="Have running daemons execute the installed version.")
@click.option(
    "--wait",
    type=TIME_SPAN,
    default="60s",
    metavar="TIME",
    show_default=True,
    help="How long to wait for a study's runs, before its server is replaced.",
)
@click.option("--all", "everything", is_flag=True, help="Replace all, older or not.")
def command(wait: float, everything: bool) -> None:
    """Replace supervisor and daemons that are older than the installed Motoko, one by one.

    Runs go on: launchers leave them to their successors. The server of a study is replaced when
    none of its runs is being executed on this host: meanwhile its launcher starts no more. Servers
    whose runs take longer than --wait are left as they are; call the command again. Orchestrators
    go on with the version that they have begun with.

    \b
    Examples:
      pip install -U motoko && motoko upgrade
      motoko upgrade --wait 1h
    """
    from motoko.operations.daemon_upgrade import upgrade

    upgraded = upgrade(load(), click.echo, wait=wait, everything=everything)
    for name, why in upgraded.left.items():
        click.echo(f"{name} is as it was: {why}")
    if not upgraded.replaced and not upgraded.left:
        click.echo("everything is of the installed version")
