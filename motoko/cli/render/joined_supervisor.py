"""The lines that a terminal shows about a supervisor that was already running."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from motoko.cli.render import taken_over
from motoko.operations.joining import Joined
from motoko.operations.starting import who


def show(joined: Joined) -> None:
    """Print the daemons it starts, the effect of a changed motoko.yaml, and which process it is."""
    for name in joined.started:
        click.echo(f"starting {name}")
    for name in joined.restarted:
        click.echo(f"restarting {name} with the options that were given")
    for line in taken_over.lines(joined.taken):
        click.echo(line)
    supervisor = joined.supervisor
    since = datetime.now() - timedelta(seconds=supervisor.uptime_s or 0.0)
    click.echo(f"already running: {who(supervisor)}, since {since.isoformat(' ', 'seconds')}")
