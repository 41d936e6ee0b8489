"""``motoko web``: the workflow in a browser, as it changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH
from motoko.config import load
from motoko.host.cpus import stand_back
from motoko.host.extras import extra


@click.command(short_help="Look at the workflow in a browser, as it changes.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve at this port of 127.0.0.1 (0: a free one) instead of a private socket.",
)
@click.option("--control", is_flag=True, help="Let the page cancel and retry runs, too.")
@click.argument("directory", metavar="[DIR]", required=False, type=WORKFLOW_PATH)
def command(port: int | None, control: bool, directory: Path | None) -> None:
    """Look at the workflow in a browser, as it changes, until Ctrl+C.

    The page shows the studies, their runs with parameters and results, one run with its explanation
    and its output, the daemons, the orchestrators and the events. A change appears within a second.
    Without a supervisor it shows the last state, from the files.

    By default the server listens at a Unix socket that only you can reach, and the command prints
    the `ssh` line for your own computer. With `--port` it listens at that port of this host, which
    no other host reaches. The printed address works once, in one tab; then a new one is printed.
    The page changes nothing without `--control`. It needs the extra `motoko[web]`.

    \b
    Examples:
      motoko web
      motoko web --port 8000 --control ~/workflows/eos
    """
    for module in ("starlette", "uvicorn"):
        extra(module, "web", "`motoko web`")
    config = load(directory)
    stand_back()  # looking must not hold up what is looked at
    from motoko.cli.render.web.web_server import serve

    serve(config, port, partial(click.echo), has_control=control)
