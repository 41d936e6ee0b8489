"""What commands that show another account's workflow say first."""

from __future__ import annotations

from collections.abc import Iterable

import click

from motoko.config import StudyConfig, WorkflowConfig
from motoko.reports.standing import standing


def tell_standing(config: WorkflowConfig, studies: Iterable[StudyConfig] | None = None) -> None:
    """Say on stderr how old it is what is shown, if that is from another account's files."""
    if (line := standing(config, studies)) is not None:
        click.echo(f"motoko: {line}", err=True)
