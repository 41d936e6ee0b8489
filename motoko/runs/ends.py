"""What is written to a run's entries when an attempt has ended. Pure logic."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motoko.config.policy import AGAIN, Policy
from motoko.runs.entries import PRESENT_FILES, OwnEntries
from motoko.runs.states import (
    CREATED,
    FAILED,
    FAILED_STATES,
    FINISHED,
    RUNNING_STATES,
    state_of,
)
from motoko.runs.used import UNKNOWN, Used

# The n-th retry waits 1, 2, 4, ... s, at most a minute.
RETRY_PAUSE_S = 1.0
RETRY_PAUSE_MAX_S = 60.0
_CANCELLED_BY = "cancelled by "
# What BlackDynamite's client prints when its server goes away, or is away when the client starts.
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
        reason: why it ended, if the code does not tell.
        stderr: the end of its standard error.
        final: whether there must be no retry: it was ended on purpose, or can never work.
        interrupted: whether the stop of the workflow has ended it, or its host went down.
        finished: whether it is known to have been FINISHED, even if its state is another by now.
        entries: what else is known of the attempt, for the run's entries.
        used: the processor time and memory that it has used.
    """

    code: int | None = None
    reason: str = ""
    stderr: str = ""
    final: bool = False
    interrupted: bool = False
    finished: bool = False
    entries: Mapping[str, Any] = field(default_factory=dict)
    used: Used = UNKNOWN


def settle(run: Mapping[str, Any], end: End, *, policy: Policy, now: float) -> dict[str, Any]:
    """The entries to be set on a run whose attempt has ended: none if a user has reset the run.

    A final state that the run itself has committed takes precedence over its exit code. Any other
    state of the user's own stays if the run ends well. A state that is no text means that the run
    has failed.

    Args:
        run: the run's present entries.
        end: how the attempt ended.
        policy: how many attempts it may have, and whether exit code 0 is enough to be FINISHED.
        now: the time in seconds since the epoch.
    """
    state = state_of(run)
    own = OwnEntries(run)
    changes: dict[str, Any] = {} if end.code is None else {"exit_code": end.code}
    if state == CREATED:
        return {}  # a user has reset it already
    is_text = isinstance(run.get("state"), str) and bool(state.strip())
    ended_well = end.code == 0 and not end.reason
    if state in RUNNING_STATES:
        if policy.on_exit and ended_well:
            return {**changes, "state": FINISHED, "ended_state": FINISHED}
    elif state not in FAILED_STATES and (
        state == FINISHED or end.finished or (is_text and ended_well)
    ):
        return {**changes, "ended_state": FINISHED, **({} if is_text else {"state": FINISHED})}
    interruptions = own.interruptions or 0
    if end.interrupted and state not in FAILED_STATES and policy.interrupted == AGAIN:
        return {
            **changes,
            "state": CREATED,
            "attempt": own.attempt + 1,
            "interruptions": interruptions + 1,
            "last_failure": end.reason,
            "files_wanted": PRESENT_FILES,
        }
    reason = own.failure_reason if state in FAILED_STATES else None
    if not (is_text or end.reason or end.code):
        shown = state[:100] if state.strip() else repr(state)
        reason = f"it has set its state to {shown}, which is no text"
    reason = reason or describe(end, state)
    tried = own.attempt - interruptions
    if tried <= policy.retries and not end.final:
        pause = min(RETRY_PAUSE_S * 2 ** min(max(tried, 1) - 1, 10), RETRY_PAUSE_MAX_S)
        return {
            **changes,
            "state": CREATED,
            "attempt": own.attempt + 1,
            "retry_at": now + pause,
            "last_failure": reason,
        }
    failed = state if state in FAILED_STATES else FAILED
    return {**changes, "state": failed, "ended_state": failed, "failure_reason": reason}


def is_undecided(run: Mapping[str, Any], end: End) -> bool:
    """Whether a run ended badly in a state of its own, so that it matters if it was FINISHED."""
    known = {CREATED, FINISHED, *RUNNING_STATES, *FAILED_STATES}
    badly = end.code != 0 or bool(end.reason)
    return badly and not end.finished and state_of(run) not in known


STOPPED = "stopped by `motoko kill`"
REBOOTED = "host rebooted"


def cancelled_reason(who: str) -> str:
    """The failure reason of a run that a user has cancelled; see :func:`was_cancelled`."""
    return f"{_CANCELLED_BY}{who}"


def was_cancelled(run: Mapping[str, Any]) -> bool:
    """Whether a run's entries say that it failed because a user has cancelled it."""
    return str(OwnEntries(run).failure_reason).startswith(_CANCELLED_BY)


def describe(end: End, state: str) -> str:
    """Why an attempt failed, in one line."""
    if end.reason:
        return end.reason
    if any(word in end.stderr for word in _CONNECTION_LOST):
        return "database connection lost"
    last = next((line.strip() for line in reversed(end.stderr.splitlines()) if line.strip()), "")
    last_line = f": {last[:200]}" if last else ""
    if state in FAILED_STATES:
        return f"the run set its state to {state}{last_line}"
    if end.code == 0:
        return (
            "launch.sh ended with exit code 0, but the run never called finish() "
            "(if it hands its work over, as `sbatch` does: `finish: later`)"
        )
    if end.code is not None and end.code > 128:
        try:
            name = signal.Signals(end.code - 128).name
        except ValueError:
            name = f"signal {end.code - 128}"
        return f"launch.sh was ended by {name}{last_line}"
    if end.code == 120:
        return "the run directory is gone"
    return f"launch.sh ended with exit code {end.code}{last_line}"
