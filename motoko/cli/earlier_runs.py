"""The runs that a run_name has already, when its orchestrator is started again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from motoko.cli.selecting import created
from motoko.config import WorkflowConfig
from motoko.errors import EarlierRuns

if TYPE_CHECKING:
    from motoko.api.workflow import Workflow


def refuse_earlier(workflow: Workflow) -> None:
    """Raise ``EarlierRuns`` if the workflow's run_name has runs."""
    if not workflow.is_empty():
        raise EarlierRuns(
            f"run_name {workflow.run_name!r} has runs already",
            hint="choose another --run_name, or go on with them without --fresh",
        )


def retry_failed(config: WorkflowConfig, run_name: str, *, err: bool = False) -> None:
    """Have a run_name's failed runs executed again, and name them (on stderr with ``err``)."""
    from motoko.cli.render.run_changes import show_retried
    from motoko.operations.choosing import Choice
    from motoko.operations.retrying import retry_runs
    from motoko.store.literals import quote

    constraints = [f"runs.run_name = {quote(run_name)}"]
    choice = Choice(studies=created(config.studies.values()), constraints=constraints)
    announce = partial(click.echo, err=err)
    show_retried(retry_runs(config, choice, announce=announce), err=err)
