"""As of when a view is that is made from the files of another account's workflow."""

from __future__ import annotations

import time
from collections.abc import Iterable

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control.daemon_records import last_supervisor, other_owner
from motoko.host.durations import since
from motoko.store.log_end import newest_change


def standing(config: WorkflowConfig, studies: Iterable[StudyConfig] | None = None) -> str | None:
    """A line that says whose workflow is shown, and how old that is; ``None`` if it is our own.

    What is shown is what is in the files: as old as their last change.

    Args:
        config: the workflow.
        studies: the studies that are shown; all by default.
    """
    account = other_owner(config)
    if account is None:
        return None
    chosen = config.studies.values() if studies is None else studies
    changes = [newest_change(study.database.transactions) for study in chosen if study.is_local]
    known = [change for change in changes if change is not None]
    when = f"as of {since(max(known), time.time())}, " if known else ""
    supervisor = last_supervisor(config)
    why = "" if supervisor is None else f", whose supervisor on {supervisor.host} answers only it"
    return f"{when}from the files: the workflow is {account}'s{why}"
