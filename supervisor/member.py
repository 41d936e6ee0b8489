"""One daemon of the process table, with its process and what was last heard from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from motoko.config.daemon_kinds import BUS, GATE, ZEO
from motoko.control.protocol import DaemonInfo
from motoko.host.clock import uptime_s
from motoko.layout import Runtime
from motoko.supervisor.child import Child
from motoko.supervisor.daemon_specs import Spec
from motoko.supervisor.table import Entry, Policy, State

REQUESTED_READY_S = 3600.0


@dataclass
class Member:
    """A daemon: what it is, its state, and its process while it has one.

    ``sockets`` are those that it listens on while it is ready. ``heard`` is when it last sent its
    status, ``shrunk`` when it was last restarted for its size, in the loop's time.
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
    trouble: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: Spec, runtime: Runtime, policy: Policy) -> Member:
        """A member that has not been started yet."""
        if spec.is_requested:
            # A user's program may do a lot before it begins to orchestrate.
            policy = replace(policy, readiness=REQUESTED_READY_S)
        socket = runtime.zeo(spec.study) if spec.kind == ZEO and spec.study else None
        bus = (runtime.bus_publish, runtime.bus_subscribe)
        sockets = [Path(address.removeprefix("ipc://")) for address in bus if spec.kind == BUS]
        sockets += [] if socket is None else [socket]
        return cls(spec, Entry(spec.name, policy), socket=socket, sockets=sockets)

    @property
    def name(self) -> str:
        """The daemon's name."""
        return self.spec.name

    @property
    def readiness(self) -> str:
        """Says that it is ready, with what people want to know of it then."""
        return f"ready: {self.detail}" if self.spec.kind == GATE else "ready"

    @property
    def beats(self) -> bool:
        """Whether it sends heartbeats over the bus."""
        return self.spec.traits.beats

    def status(self, runtime: Runtime) -> DaemonInfo:
        """The daemon, as the control socket's status shows it."""
        entry = self.entry
        return DaemonInfo(
            name=self.name,
            kind=self.spec.kind,
            pid=entry.pid,
            state=str(entry.state),
            uptime_s=None if self.child is None else uptime_s(self.child.identity),
            restarts=entry.restarts,
            last_exit=entry.last_exit,
            log=str(runtime.log(self.name)),
            detail="waits for what it depends on" if entry.waiting else self.detail,
            counts=self.counts if entry.state is State.READY else {},
            trouble=self.trouble if entry.state is State.READY else "",
        )
