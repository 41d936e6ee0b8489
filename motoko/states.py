"""The states of a run, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

CREATED = "CREATED"
TOBELAUNCHED = "TOBELAUNCHED"
LAUNCHED = "launched"
START = "START"
FINISHED = "FINISHED"
FAILED = "FAILED"

# BlackDynamite's own words for a failure, and those of batch systems.
FAILED_STATES = frozenset(
    [
        "FAILED",
        "FAILURE",
        "ERROR",
        "CANCELLED",
        "TIMEOUT",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "BOOT_FAIL",
        "DEADLINE",
        "LOST",
    ]
)
WAITING_STATES = frozenset({CREATED, TOBELAUNCHED})
RUNNING_STATES = frozenset({LAUNCHED, START})


class Outcome(Enum):
    """What somebody who waits for a run makes of it."""

    PENDING = "pending"
    FINISHED = "finished"
    FAILED = "failed"


def outcome(run: Mapping[str, Any]) -> Outcome:
    """The outcome of a run, from its entries.

    A run that was FINISHED and moved on to a user's own state counts as finished.
    """
    state = run.get("state")
    if state == FINISHED:
        return Outcome.FINISHED
    if state in FAILED_STATES:
        return Outcome.FAILED
    if state in WAITING_STATES or state in RUNNING_STATES:
        return Outcome.PENDING
    return Outcome.FINISHED if run.get("ended_state") == FINISHED else Outcome.PENDING


def output_stem(run_name: str) -> str:
    """What a run's output files are called after: its run_name, as a file name."""
    return run_name.replace("/", "_")


def stderr_tail(run: Mapping[str, Any], lines: int = 20) -> str:
    """The last lines of a run's standard error; empty if there is none (here)."""
    path = run.get("run_path")
    if not path:
        return ""
    name = f"{output_stem(str(run.get('run_name')))}.e{run.get('id')}"
    try:
        data = Path(path, name).read_bytes()[-20_000:]
    except OSError:
        return ""  # not on this machine, or cleaned
    return "\n".join(data.decode(errors="replace").splitlines()[-lines:])
