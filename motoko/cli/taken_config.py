"""The workflow for commands that look and stop: a broken motoko.yaml keeps nobody from that."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.config import FILE_NAME, WorkflowConfig, load, snapshot
from motoko.errors import ConfigError
from motoko.layout import snapshot_path


def load_or_taken(where: Path | None = None) -> WorkflowConfig:
    """A workflow as its files are; if they are not right, as its supervisor has taken it over.

    Of the latter it says so on stderr, and why. Raises ``ConfigError`` if there is neither.
    """
    try:
        return load(where)
    except ConfigError as error:
        path = Path(where or ".").absolute()
        if not path.name.endswith((".yaml", ".yml")):
            path /= FILE_NAME
        taken = snapshot.read(snapshot_path(path.parent), path)
        if taken is None:
            raise
        click.echo(f"motoko: warning: {error}", err=True)
        click.echo("motoko: warning: what the supervisor has read before counts here", err=True)
        return taken.config
