"""``motoko start``, ``stop`` and ``restart``: single daemons, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from motoko.config import WorkflowConfig, load
from motoko.errors import ConfigError, MotokoError
from motoko.operations.daemon_switches import daemon_names

F = TypeVar("F", bound=Callable[..., Any])


def completed_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str | CompletionItem]:
    """The daemons' names that a shell completes."""
    try:
        names = daemon_names(load())
    except MotokoError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def _names(command: F) -> F:
    return click.argument("names", nargs=-1, metavar="NAME...", shell_complete=completed_names)(
        command
    )


def _checked(names: tuple[str, ...], otherwise: str) -> WorkflowConfig:
    config = load()
    if not names:
        raise ConfigError(
            f"no daemon is named; there are: {', '.join(daemon_names(config))}", hint=otherwise
        )
    return config


@click.command(short_help="Start single daemons again.")
@_names
def start(names: tuple[str, ...]) -> None:
    """Start daemons that were stopped or given up, and wait until they are ready.

    The daemons that they need are started as well: a launcher's server, the bus, the watcher.

    \b
    Examples:
      motoko start launcher:mult
    """
    from motoko.operations import daemon_switches

    config = _checked(names, "`motoko supervise` starts whatever is lacking")
    daemon_switches.start(config, names, click.echo)


@click.command(short_help="Stop single daemons.")
@_names
def stop(names: tuple[str, ...]) -> None:
    """Stop daemons, until `motoko start` or `motoko supervise` is called.

    The runs of a launcher go on without it: their ends are recorded when it is started again.
    `motoko kill` stops everything, and ends the runs; with --bd_study it does so for one study.

    \b
    Examples:
      motoko stop launcher:mult
    """
    from motoko.operations import daemon_switches

    daemon_switches.stop(_checked(names, "`motoko kill` stops everything"), names, click.echo)


@click.command(short_help="Replace single daemons by new ones.")
@_names
def restart(names: tuple[str, ...]) -> None:
    """Stop daemons, start them again, and wait until they are ready. Runs go on.

    \b
    Examples:
      motoko restart launcher:mult
      motoko restart bus watcher
    """
    from motoko.operations import daemon_switches

    config = _checked(names, "`motoko ps` shows which of them need it")
    daemon_switches.restart(config, names, click.echo)
