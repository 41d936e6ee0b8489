"""The workflow for commands that show or stop it, which work even if motoko.yaml is broken."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.config import FILE_NAME, WorkflowConfig, load, snapshot
from motoko.errors import ConfigError
from motoko.layout import snapshot_path


def load_or_taken(where: Path | None = None) -> WorkflowConfig:
    """A workflow as its files describe it; if they have errors, as its supervisor last read them.

    In the latter case, warnings on stderr say so, and why. Raises ``ConfigError`` if there is
    neither.
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
        click.echo("motoko: warning: using the files as the supervisor last read them", err=True)
        return taken.config
