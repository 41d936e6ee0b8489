"""Failures that went unnoticed: of runs that were never awaited."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from motoko.errors import MotokoError
from motoko.runs.entries import OwnEntries
from motoko.runs.references import described, listed
from motoko.runs.states import FAILED_STATES, UNENDED_STATES, state_of

if TYPE_CHECKING:
    from motoko.api.workflow import Workflow
    from motoko.store.base import StudyBase

log = logging.getLogger(__name__)

SHOWN = 10


class UnnoticedFailures(MotokoError):
    """Runs have failed, and neither an await nor an error handler was told."""


def refuse_unnoticed(workflow: Workflow) -> None:
    """Raise ``UnnoticedFailures`` for failed runs whose failure was not noticed.

    Only runs of the workflow's run_name count, in the studies that the workflow is connected to. A
    failure is noticed if an await raises it, if a handler is called for it, or if an awaited
    selection includes the run. Runs that have not ended may still fail: a warning names them.
    """
    from motoko.store.jobs_of_runs import parameters_of

    failed: list[str] = []
    unended: list[str] = []
    for base, name, entries in _runs(workflow):
        number = entries["id"]
        state = state_of(entries)
        if state in UNENDED_STATES:
            unended.append(f"{name}.{number}")
        elif state in FAILED_STATES and (name, number) not in workflow.motoko_engine.noticed:
            reason = OwnEntries(entries).failure_reason or "no reason"
            parameters = parameters_of(base.study, base.jobs.entries, entries)
            failed.append(f"  {described(f'{name}.{number}', parameters)}: {reason}")
    if unended:
        log.warning(
            "the orchestrator has ended, and these runs have not: %s; `motoko info` shows how they "
            "end",
            listed(unended),
        )
    if not failed:
        return
    more = [f"  and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
    what = "1 run has" if len(failed) == 1 else f"{len(failed)} runs have"
    raise UnnoticedFailures(
        "\n".join([f"{what} failed, and nobody has awaited that", *failed[:SHOWN], *more]),
        hint="await what createTask() returns; `motoko explain` says more, `motoko retry` runs "
        "them again",
    )


def _runs(workflow: Workflow) -> Iterator[tuple[StudyBase, str, Mapping[str, Any]]]:
    from motoko.store.session import session

    for name, manager in workflow.task_managers.items():
        if workflow.motoko_engine.is_connected(name):
            session().refresh(manager.base)
            for run, _ in manager.select():
                yield manager.base, name, run.entries
