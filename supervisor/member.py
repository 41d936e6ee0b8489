"""One daemon of the table together with its process and what was last heard of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motoko.control import uptime_s
from motoko.runtime import Runtime
from motoko.supervisor.child import Child
from motoko.supervisor.daemons import Spec
from motoko.supervisor.table import Entry, State


@dataclass
class Member:
    """A daemon: what it is, its state, and its process while it has one.

    ``sockets`` are those that it listens on while it is ready. ``heard`` is when it was last heard
    of, ``shrunk`` when it was last restarted for its size, in the loop's time.
    """

    spec: Spec
    entry: Entry
    socket: Path | None = None  # where a ZEO server answers
    sockets: Sequence[Path] = ()
    child: Child | None = None
    timer: asyncio.TimerHandle | None = None
    heard: float = 0.0
    shrunk: float = 0.0
    detail: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The daemon's name."""
        return self.spec.name

    @property
    def beats(self) -> bool:
        """Whether it sends heartbeats over the bus."""
        return self.spec.kind in ("watcher", "launcher")

    def status(self, runtime: Runtime) -> dict[str, Any]:
        """What the control socket tells of it."""
        entry = self.entry
        return {
            "name": self.name,
            "kind": self.spec.kind,
            "pid": entry.pid,
            "state": str(entry.state),
            "uptime_s": None if self.child is None else uptime_s(self.child.identity),
            "restarts": entry.restarts,
            "last_exit": entry.last_exit,
            "log": str(runtime.log(self.name)),
            "detail": "waits for what it depends on" if entry.waiting else self.detail,
            "counts": self.counts if entry.state is State.READY else {},
        }
