"""Failures that count as noticed because the orchestrator is given the runs."""

from __future__ import annotations

from typing import Any

from motoko.runs.states import FAILED_STATES, state_of


def given_runs(result: Any) -> list[Any] | None:
    """The runs in a condition's result; ``None`` if the result is not made of runs."""
    try:
        runs = [run for run, _ in result]
    except (TypeError, ValueError):
        return None
    return runs if all(hasattr(run, "entries") for run in runs) else None


def notice_failures(result: Any) -> None:
    """Record which of the runs that the orchestrator is given have failed."""
    for run in given_runs(result) or ():
        if state_of(run.entries) in FAILED_STATES:
            run.base.engine.noticed.add((run.base.study.name, run.entries["id"]))
