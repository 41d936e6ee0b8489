"""``motoko keys``: the key with which other hosts connect. The key itself is never shown."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.taken_config import load_or_taken
from motoko.cli.texts import WORKFLOW_PATH


@click.command(short_help="Show or renew the key that other hosts come in with.")
@click.argument("action", type=click.Choice(["show", "renew"]), default="show")
@click.argument("directory", required=False, type=WORKFLOW_PATH)
def command(action: str, directory: Path | None) -> None:
    """Show until when the workflow's key is valid, or make a new one.

    Nodes and other hosts reach a workflow with the key in its .wf/channel, which only its owner can
    read. `motoko keys renew` makes a new key, which is valid at once and without a restart: the old
    key is not accepted any more, but existing connections go on. The key is renewed automatically a
    month before it expires.
    """
    from motoko.operations import channel_keys

    config = load_or_taken(directory)
    facts = channel_keys.renewed(config) if action == "renew" else channel_keys.present(config)
    click.echo(f"{'renewed: ' * (action == 'renew')}valid until {facts.certificate.ends:%Y-%m-%d}")
    click.echo(f"certificate (SHA-256): {facts.certificate.fingerprint}")
    click.echo(f"gate: {facts.where or 'it has not listened yet'}")
