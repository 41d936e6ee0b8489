"""What commands that show a workflow from its files say first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from motoko.config import StudyConfig, WorkflowConfig
from motoko.reports.standing import all_standing, standing


def tell_standing(config: WorkflowConfig, studies: Iterable[StudyConfig] | None = None) -> None:
    """Say on stderr how old it is what is shown, if that is from another account's files."""
    if (line := standing(config, studies)) is not None:
        click.echo(f"motoko: {line}", err=True)


def tell_all_standing(config: WorkflowConfig, studies: Sequence[StudyConfig]) -> None:
    """Say on stderr as of when it is what is shown, and what is not known, whosever it is."""
    click.echo(f"motoko: {'; '.join(all_standing(config, studies))}", err=True)
