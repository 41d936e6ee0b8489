"""What is written on a run when its process has ended: pure logic."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motoko.policy import Policy
from motoko.states import CREATED, FAILED, FAILED_STATES, FINISHED, RUNNING_STATES

# The n-th retry waits 1, 2, 4, ... s, at most a minute.
RETRY_PAUSE_S = 1.0
RETRY_PAUSE_MAX_S = 60.0
# What BlackDynamite's client says when its server goes away under it, or is away when it starts.
_CONNECTION_LOST = (
    "ClientDisconnected",
    "DisconnectedError",
    "could not understand host",
    "cannot spawn a server on host",
)


@dataclass(frozen=True)
class End:
    """How an attempt ended.

    Attributes:
        code: launch.sh's exit code, if it is known.
        reason: why, where the code does not tell.
        stderr: the end of its standard error.
        final: no retry, whatever is allowed (it was ended on purpose, or can never work).
        finished: it is known to have been FINISHED, even if its state is another by now.
        entries: what else is known of the attempt, for the run's entries.
    """

    code: int | None = None
    reason: str = ""
    stderr: str = ""
    final: bool = False
    finished: bool = False
    entries: Mapping[str, Any] = field(default_factory=dict)


def settle(run: Mapping[str, Any], end: End, *, policy: Policy, now: float) -> dict[str, Any]:
    """The entries to be set on a run whose attempt has ended: none if somebody has reset it.

    A final state that the run itself has committed wins over its exit code.

    Args:
        run: the run's entries, fresh.
        end: how it ended.
        policy: how many attempts it may have, and whether exit code 0 is enough to be FINISHED.
        now: the time in seconds since the epoch.
    """
    state = run.get("state")
    attempt = int(run.get("attempt") or 1)
    changes: dict[str, Any] = {} if end.code is None else {"exit_code": end.code}
    if state == CREATED:
        return {}  # somebody has reset it already
    if state not in RUNNING_STATES and state not in FAILED_STATES:
        finished = state == FINISHED or end.finished or end.code == 0
        return {**changes, "ended_state": FINISHED} if finished else changes
    if policy.on_exit and state in RUNNING_STATES and end.code == 0 and not end.reason:
        return {**changes, "state": FINISHED, "ended_state": FINISHED}
    reason = run.get("failure_reason") if state in FAILED_STATES else None
    reason = reason or describe(end, str(state))
    if attempt <= policy.retries and not end.final:
        pause = min(RETRY_PAUSE_S * 2 ** (attempt - 1), RETRY_PAUSE_MAX_S)
        return {
            **changes,
            "state": CREATED,
            "attempt": attempt + 1,
            "retry_at": now + pause,
            "last_failure": reason,
        }
    failed = state if state in FAILED_STATES else FAILED
    return {**changes, "state": failed, "ended_state": failed, "failure_reason": reason}


def describe(end: End, state: str) -> str:
    """Why an attempt failed, in one line."""
    if end.reason:
        return end.reason
    if any(word in end.stderr for word in _CONNECTION_LOST):
        return "database connection lost"
    last = next((line.strip() for line in reversed(end.stderr.splitlines()) if line.strip()), "")
    said = f": {last[:200]}" if last else ""
    if state in FAILED_STATES:
        return f"the run set its state to {state}{said}"
    if end.code == 0:
        return "launch.sh ended with exit code 0, but the run never called finish()"
    if end.code is not None and end.code > 128:
        try:
            name = signal.Signals(end.code - 128).name
        except ValueError:
            name = f"signal {end.code - 128}"
        return f"launch.sh was ended by {name}{said}"
    if end.code == 120:
        return "the run directory is gone"
    return f"launch.sh ended with exit code {end.code}{said}"
