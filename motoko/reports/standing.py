"""As of when a view is that is made from a workflow's files, and what those cannot tell."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control.daemon_records import last_supervisor, other_owner
from motoko.host.durations import moment, since
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


def all_standing(config: WorkflowConfig, studies: Sequence[StudyConfig]) -> tuple[str, ...]:
    """Of whosever workflow: as of when the files are that are read next, and what they lack.

    These are parts of a line; the first one has the time.
    """
    if (line := standing(config, studies)) is not None:
        return (line,)
    from motoko.reports.status import living_processes, unrecorded  # most commands need neither

    return f"as of {moment(time.time())}", *unrecorded(living_processes(config))
