"""What a launcher that has just started makes of a run: from its entries and its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.identity import Identity
from motoko.run_output import output_stem, stderr_path, tail
from motoko.states import RUNNING_STATES, WAITING_STATES
from motoko.workers import wrapper
from motoko.workers.ends import End


@dataclass(frozen=True)
class Found:
    """What is to be done with a run: one of ``retry_at``, ``end``, ``wrapper``, or start it.

    Attributes:
        retry_at: it waits, and is not to be started before this time (seconds since the epoch).
        end: its attempt has ended, which is to be recorded.
        process: its attempt runs: its wrapper, or who has outlived that, is this process.
        session: all of its processes that live are in this session.
    """

    directory: Path
    attempt: int
    stem: str
    retry_at: float | None = None
    end: End | None = None
    process: Identity | None = None
    session: int | None = None


def examine(run: Mapping[str, Any]) -> Found | None:
    """What is to be done with a run; ``None`` if nothing is.

    One that has set a final state itself may still be running, and its end is to be recorded, too.
    """
    state = run.get("state")
    attempt = int(run.get("attempt") or 1)
    directory = Path(run.get("run_path") or "/nonexistent")
    stem = output_stem(str(run.get("run_name")))
    if state in WAITING_STATES:
        return Found(directory, attempt, stem, retry_at=float(run.get("retry_at") or 0.0))
    on_its_way = state in RUNNING_STATES
    if not on_its_way and (run.get("ended_state") or run.get("exit_code") is not None):
        return None
    claim = wrapper.read_claim(directory, attempt)
    if claim is None:
        return Found(directory, attempt, stem) if on_its_way else None
    session = claim.wrapper.pid
    if claim.wrapper.alive:
        return Found(directory, attempt, stem, process=claim.wrapper, session=session)
    code = wrapper.read_exit(directory, attempt)
    left = wrapper.survivors(session) if claim.since_reboot and session else []
    if code is None and left:
        return Found(directory, attempt, stem, process=left[0], session=session)
    reason = ""
    if code is None:
        reason = wrapper.KILLED if claim.since_reboot else "host rebooted"
    end = End(code=code, reason=reason, stderr=tail(stderr_path(run)))
    return Found(directory, attempt, stem, end=end, session=session if left else None)
