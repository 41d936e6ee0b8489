"""``motoko top``: the workflow on a terminal, as it changes."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH
from motoko.config import load
from motoko.errors import ConfigError
from motoko.host.cpus import stand_back
from motoko.host.extras import extra
from motoko.host.terminal import is_on_terminal


@click.command(short_help="Look at the workflow on a terminal, as it changes.")
@click.argument("directory", required=False, type=WORKFLOW_PATH)
def command(directory: Path | None) -> None:
    """Look at the workflow on a terminal, as it changes.

    Keys 1 to 6 show the studies, a study's runs, the daemons, the slots, the orchestrators, and the
    events. Enter opens what the cursor is on: a study's runs, or a run, with its explanation, its
    values and its output as it grows. In the runs, f and / choose some of them, s sorts them. c
    cancels a run and r retries it, l shows logs, q leaves; what changes something asks first.

    The view changes as soon as the bus tells of a change, and costs nothing while nothing happens.
    Without a supervisor it shows the last state, from the files. It needs the extra `motoko[top]`.

    \b
    Examples:
      motoko top
      motoko top ~/workflows/eos
    """
    extra("textual", "top", "`motoko top`")
    config = load(directory)
    if not config.studies:
        raise ConfigError(f"{config.path} names no studies", hint="add some below `studies:`")
    if not is_on_terminal():
        raise ConfigError(
            "`motoko top` needs a terminal", hint="motoko info, motoko ps and motoko events do not"
        )
    stand_back()  # looking must not hold up what is looked at
    from motoko.cli.render.top.app import Top

    # What would be logged to the terminal would be written over the view, which tells it itself.
    logging.getLogger().addHandler(logging.NullHandler())
    top = Top(config)
    top.run()
    if top.failure is not None:
        raise top.failure
