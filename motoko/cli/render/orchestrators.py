"""How orchestrators are shown: those that run, and how detached ones have ended."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from motoko.host.durations import counted, uptime
from motoko.reports.orchestrator_states import RUNNING, OrchestratorState
from motoko.reports.status import Orchestrator


def show(states: Sequence[OrchestratorState]) -> None:
    """Print a line for each orchestrator, with the traceback that ended it below."""
    if not any(state.state == RUNNING for state in states):
        click.echo("no orchestrator is running")
    for state in states:
        click.echo(_described(state))


def show_json(states: Sequence[OrchestratorState]) -> None:
    """Print one JSON list."""
    click.echo(json.dumps([_as_object(state) for state in states], indent=2))


def waits_for(orchestrator: Orchestrator | OrchestratorState) -> str:
    """What an orchestrator waits for, and for how long; empty if it waits for nothing."""
    if not orchestrator.waiting or orchestrator.since is None:
        return ""
    more = (orchestrator.awaits or 1) - 1
    text = f"has waited {uptime(time.time() - orchestrator.since)} for "
    return f"{text}{orchestrator.waiting[0]}{f' and {more} more' if more else ''}"


def _described(state: OrchestratorState) -> str:
    text = f"{state.run_name}: {state.state}"
    background = state.background
    if state.pid:
        text += f", pid {state.pid}" + (f" on {state.host}" if state.host else "")
    if state.detached and background is not None and background.restarts:
        text += f", restarted {counted(background.restarts, 'time')} (last: {background.last_exit})"
    if waiting := waits_for(state):
        text += f", {waiting}"
    if state.state == RUNNING or background is None or background.exit_code is None:
        return text
    if background.ended is not None:
        at = datetime.fromtimestamp(background.ended, UTC).isoformat(timespec="seconds")
        text += f" at {at.replace('+00:00', 'Z')}"
    text += f" with exit code {background.exit_code}"
    error = (background.traceback or background.error or "").rstrip()
    return text + "".join(f"\n    {line}" for line in error.splitlines())


def _as_object(state: OrchestratorState) -> dict[str, Any]:
    values = asdict(state)
    background = values.pop("background") or {}
    if state.counts is None:
        del values["counts"]
    return {**values, **background}
