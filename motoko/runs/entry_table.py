"""The table of what Motoko writes to a run's entries, and under which keys. Pure logic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "motoko."


@dataclass(frozen=True)
class Entry:
    """One of Motoko's own entries.

    Attributes:
        name: the documented name.
        type: the type of its values. ``None`` is always allowed, and means the same as no entry.
        writer: what writes it: the launcher, or commands.
        meaning: what it says.
        yields: whether an entry of a user's own that has the same name takes precedence. No earlier
            version has written it, so that it is never stored under its plain name.
    """

    name: str
    type: type
    writer: str
    meaning: str
    yields: bool = False

    @property
    def key(self) -> str:
        """Where it is stored in a run's entries."""
        return PREFIX + self.name

    def read(self, value: Any) -> Any:
        """A stored value, or ``None`` if the entry cannot have such a value."""
        if isinstance(value, bool):
            return None
        if self.type is float:
            return float(value) if isinstance(value, (int, float)) and _is_finite(value) else None
        return value if isinstance(value, self.type) else None


_TABLE = (
    Entry("attempt", int, "launcher, retry", "which attempt the present or last one is: 1, 2, ..."),
    Entry("interruptions", int, "launcher", "how many attempts were interrupted: no retries"),
    Entry("retry_at", float, "launcher", "not to be started before (seconds since 1970)"),
    Entry("ended_state", str, "launcher, cancel", "how the last attempt ended, whatever came then"),
    Entry(
        "attempt_ended",
        float,
        "launcher, cancel",
        "when its last attempt ended (seconds since 1970)",
    ),
    Entry("failure_reason", str, "launcher, cancel", "why it has failed"),
    Entry("last_failure", str, "launcher, retry", "why an attempt before has failed"),
    Entry("exit_code", int, "launcher, cancel", "launch.sh's exit code"),
    Entry("cancelled_by", str, "cancel", "who wants it to be ended"),
    Entry("files_checksum", str, "launcher, createTask", "of the files that it is executed with"),
    Entry("files_wanted", str, "retry, clean", "present or same: which files it is to be given"),
    Entry("created_nproc", int, "retry", "its nproc when it was created, if that was changed"),
    Entry("batch_system", str, "launcher", "the batch system that its job was submitted to"),
    Entry("batch_name", str, "launcher, cancel", "its job's name, as long as it is followed"),
    Entry("batch_attempt", int, "launcher", "the attempt that the job was submitted for"),
    Entry("batch_job_id", str, "launcher", "its job's id"),
    Entry("batch_state", str, "launcher, cancel", "its job's state, in the batch system's words"),
    Entry("batch_nodes", str, "launcher", "the nodes that its job runs or ran on"),
    Entry(
        "created_after",
        str,
        "createTask",
        "the runs that its creator had awaited, such as mesh:1-3,7;solve:2",
        yields=True,
    ),
    Entry("cpu_s", float, "launcher", "its last attempt's processor time in seconds", yields=True),
    Entry(
        "max_rss_bytes",
        int,
        "launcher",
        "the most memory that a process of its last attempt had, in bytes",
        yields=True,
    ),
)
# By documented name.
OWN: Mapping[str, Entry] = {entry.name: entry for entry in _TABLE}


def places_of(name: str) -> tuple[str, ...]:
    """The keys under which a run's entry of a documented or other name may be; the first counts."""
    if name not in OWN:
        return (name,)
    return (name, OWN[name].key) if OWN[name].yields else (OWN[name].key, name)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
