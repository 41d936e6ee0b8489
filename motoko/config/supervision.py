"""How the supervisor looks after daemons: ``supervisor:`` in motoko.yaml, and its defaults.

The restart policy, the watchdog, the order and the deadlines of stopping, and the sizes of logs
are defined only here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, get_args

from msgspec import Meta, Struct, field

from motoko.config import daemon_kinds
from motoko.config.daemon_kinds import DaemonKind
from motoko.config.decoding import Hint, OneForEach
from motoko.config.quantities import Seconds, Size
from motoko.host.clock import HEARTBEAT_S
from motoko.host.sizes import MB

T = TypeVar("T")

# When a detached orchestrator that has died is started again.
Restart = Literal["on-kill", "on-failure", "never"]
RESTARTS: tuple[str, ...] = get_args(Restart)
# A daemon on a busy machine may be silent for up to two heartbeats and a half.
SILENCE_LEAST_S = 2.5 * HEARTBEAT_S
# A daemon takes more than this before it executes its first line of Python.
MAX_RSS_LEAST = 10 * MB
LOG_SIZE_LEAST = 1000
# How long a group takes to end beyond its deadline, if it has to be killed.
KILL_DEADLINE_S = 5.0

Nice = Annotated[int, Meta(ge=0, le=19), Hint("0 is as usual, 19 is the least urgent")]
ByKind = Annotated[Mapping[str, T], OneForEach(daemon_kinds.of_workflow, "kind of daemon")]


@dataclass(frozen=True)
class StopGroup:
    """How the daemons of one kind are told to end, and how long they have for it."""

    kind: str
    signal: int
    deadline: float


def _zero_for_all() -> dict[str, int]:
    return dict.fromkeys(daemon_kinds.of_workflow(), 0)


def _none_for_all() -> dict[str, int | None]:
    return dict.fromkeys(daemon_kinds.of_workflow())


def _stop_timeouts() -> dict[str, float]:
    return {name: daemon_kinds.named(name).stop_timeout for name in daemon_kinds.of_workflow()}


class Supervision(Struct, frozen=True):
    """The settings of a workflow's supervisor. Times in seconds, sizes in bytes."""

    nice: ByKind[Nice] = field(default_factory=_zero_for_all)
    max_rss: ByKind[Annotated[Size, Meta(ge=MAX_RSS_LEAST)] | None] = field(
        default_factory=_none_for_all
    )
    # A longer log is continued in a fresh file; `log_files` of the earlier ones are kept.
    log_size: Annotated[Size, Meta(ge=LOG_SIZE_LEAST)] = 5 * MB
    log_files: Annotated[int, Meta(ge=1)] = 3
    # After this many deaths in a row before readiness a daemon is given up.
    attempts: Annotated[int, Meta(ge=1)] = 5
    backoff_min: Annotated[Seconds, Meta(ge=0.1)] = 0.5
    backoff_max: Seconds = 30.0  # never less than the former
    # How long a daemon may take from its start until it is ready, or says something.
    start_timeout: Annotated[Seconds, Meta(ge=1.0)] = 30.0
    # After this time without a heartbeat or an answer a daemon counts as hung.
    silence: Annotated[Seconds, Meta(ge=SILENCE_LEAST_S)] = 10.0
    stop_timeout: ByKind[Annotated[Seconds, Meta(ge=1.0)]] = field(default_factory=_stop_timeouts)
    restart: Restart = "on-kill"  # of detached orchestrators

    @property
    def stop_order(self) -> tuple[StopGroup, ...]:
        """The order in which the kinds end when all is stopped: the reverse of their needs."""
        return tuple(
            StopGroup(kind.name, kind.stop_signal, self._stop_timeout(kind))
            for kind in daemon_kinds.in_stop_order()
        )

    @property
    def leave_order(self) -> tuple[StopGroup, ...]:
        """The order for daemons that will be started again: runs go on, for the next launcher."""
        return tuple(
            StopGroup(kind.name, kind.leave_signal, self._stop_timeout(kind))
            for kind in daemon_kinds.in_stop_order()
        )

    def _stop_timeout(self, kind: DaemonKind) -> float:
        return self.stop_timeout.get(kind.name, kind.stop_timeout)

    @property
    def stopped_s(self) -> float:
        """How long it may take until all daemons have ended."""
        groups = self.stop_order
        return sum(group.deadline for group in groups) + (len(groups) - 1) * KILL_DEADLINE_S

    @property
    def started_s(self) -> float:
        """How long a command waits for all daemons: time for two to start one after the other."""
        return max(60.0, 2 * self.start_timeout)
