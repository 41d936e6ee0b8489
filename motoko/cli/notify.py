"""``motoko notify --test``: send a message to those whom motoko.yaml names."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH
from motoko.config import load
from motoko.errors import ConfigError


@click.command(short_help="Try to send a message as `notify:` says.")
@click.argument("directory", metavar="[DIR]", default=".", type=WORKFLOW_PATH)
@click.option("--test", "is_test", is_flag=True, required=True, help="Send a message now.")
def command(directory: Path, is_test: bool) -> None:
    """Send a message to the command and the addresses below `notify:` in motoko.yaml, now.

    While the workflow is supervised, messages are sent by themselves. Addresses in variables are
    those of this shell here; the supervisor has those of the shell that started it.

    \b
    Example:
      motoko notify --test
    """
    from motoko.operations.sending_notices import Letter, send

    config = load(directory)
    if not config.notices.is_on:
        raise ConfigError(
            f"{config.path}: notify: names nobody to tell anything",
            hint="write `notify: {command: [...]}` there: see docs/watching.md",
        )
    name = config.directory.name
    text = f"The workflow {config.directory} on {socket.gethostname()} can reach you."
    send(config, Letter("test", f"{name}: this is a test", text))
    click.echo("sent")
