"""Failures that somebody notices who is given the runs."""

from __future__ import annotations

from typing import Any

from motoko.runs.states import FAILED_STATES, state_of


def given_runs(result: Any) -> list[Any] | None:
    """The runs that a condition gives; ``None`` if it gives something else that is true."""
    try:
        runs = [run for run, _ in result]
    except (TypeError, ValueError):
        return None
    return runs if all(hasattr(run, "entries") for run in runs) else None


def notice_failures(result: Any) -> None:
    """Of the runs that somebody gets who has asked for them, note those that have failed."""
    for run in given_runs(result) or ():
        if state_of(run.entries) in FAILED_STATES:
            run.base.engine.noticed.add((run.base.study.name, run.entries["id"]))
