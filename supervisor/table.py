"""One daemon's life as a pure state machine: when to start it, when to wait, when to give up.

Nothing here reads a clock or touches a process. Events come in as method calls with the time as
an argument (seconds of any monotonic clock). They return a :class:`Decision`: what to do now.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from motoko.config.supervision import Supervision


class State(enum.StrEnum):
    """What a daemon is doing, as ``motoko ps`` shows it."""

    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ENDED = "ended"  # its work is done: it is not needed any more


class Decision(enum.Enum):
    """What the caller has to do now."""

    NOTHING = enum.auto()  # but call tick() at `wake_at`, if there is one
    SPAWN = enum.auto()
    KILL = enum.auto()
    GIVE_UP = enum.auto()


_DEFAULT = Supervision()


@dataclass(frozen=True)
class Policy:
    """The figures of the restart policy, in seconds."""

    readiness: float = _DEFAULT.start_timeout  # a daemon must be ready this soon after its start
    settled: float = 5.0  # after this long in readiness a daemon's earlier deaths are forgotten
    first_delay: float = _DEFAULT.backoff_min
    longest_delay: float = _DEFAULT.backoff_max
    attempts: int = _DEFAULT.attempts  # deaths in a row before readiness after which it has failed
    free_relapses: int = 3  # deaths in a row soon after readiness that restart at once

    @classmethod
    def of(cls, settings: Supervision) -> Policy:
        """The policy that a workflow's settings ask for."""
        return cls(
            readiness=settings.start_timeout,
            first_delay=settings.backoff_min,
            longest_delay=settings.backoff_max,
            attempts=settings.attempts,
        )


@dataclass
class Entry:
    """One daemon in the process table.

    The policy: a death after readiness restarts at once. A death before readiness backs off and
    counts; after ``attempts`` of them in a row the daemon has failed. A death sooner than
    ``settled`` after readiness is a relapse: the first few restart at once (a user kills the
    daemon, and all clients wait for it), further ones back off, but none counts as a failure,
    since a daemon that gets ready does work. Being ready for ``settled`` clears both counts.

    ``restarts`` counts the daemon's deaths, whatever follows them, except those asked for by
    :meth:`stop`, and those of a second process that found the first one alive. ``last_exit`` tells
    why the daemon ended the last time.
    """

    name: str
    policy: Policy = field(default_factory=Policy)
    jitter: Callable[[], float] = random.random
    state: State = State.STARTING
    pid: int | None = None
    adopted: bool = False
    was_ready: bool = False
    restarts: int = 0
    last_exit: str | None = None
    wake_at: float | None = None
    _failures: int = 0
    _relapses: int = 0
    _ready_at: float = 0.0
    _killed_because: str | None = None
    _unstarted: int = 0
    _begun: bool = False
    _stopped_because: str | None = None

    @property
    def waiting(self) -> bool:
        """Whether it has never been started: it waits for what it depends on."""
        return self.state is State.STARTING and not self._begun

    @property
    def hindered(self) -> str:
        """Why it repeatedly could not be started, as long as that lasts; else empty."""
        return (self.last_exit or "") if self._unstarted > 1 else ""

    @property
    def over(self) -> bool:
        """Whether it has no process, and is not started by itself."""
        return self.state in (State.STOPPED, State.ENDED, State.FAILED)

    def spawned(self, now: float, pid: int, *, adopted: bool = False) -> None:
        """It has been started (or adopted), and has to become ready before the deadline."""
        self._begun = True
        self.state, self.pid, self.adopted = State.STARTING, pid, adopted
        self.wake_at = now + self.policy.readiness
        self._killed_because = None

    def sign_of_life(self, now: float) -> None:
        """It is not ready but says that it is getting there: the deadline moves."""
        if self.state is State.STARTING and self.wake_at is not None:
            self.wake_at = now + self.policy.readiness

    def became_ready(self, now: float) -> bool:
        """It has passed its readiness check; says whether that is news."""
        if self.state is not State.STARTING or self.pid is None or self._killed_because:
            return False
        self.state, self.wake_at, self._ready_at, self.was_ready = State.READY, None, now, True
        self._unstarted = 0
        return True

    def hung(self, reason: str) -> Decision:
        """It lives but does not work, for a reason that ``last_exit`` will show."""
        if self.pid is None or self._killed_because:
            return Decision.NOTHING
        self._killed_because, self.wake_at = reason, None
        return Decision.KILL

    def died(
        self,
        now: float,
        how: str,
        *,
        final: bool = False,
        is_double: bool = False,
        unstarted: bool = False,
    ) -> Decision:
        """It has ended.

        Args:
            now: the time.
            how: in words.
            final: it ended as it should, and must not be started again.
            is_double: it ended since another process of this daemon lives.
            unstarted: it could not even be started. That is the machine's trouble, which may pass:
                the start is tried again for as long as it takes.
        """
        self._begun = True
        self.pid, self.wake_at = None, None
        if self.state in (State.STOPPING, State.STOPPED):
            self.state = State.STOPPED
            self.last_exit = self._stopped_because or how
            return Decision.NOTHING
        reason, self._killed_because = self._killed_because, None
        self.last_exit = f"{reason}, killed" if reason else how
        if unstarted:
            self._unstarted += 1
            self.state, self.wake_at = State.BACKOFF, now + self._delay(self._unstarted)
            return Decision.NOTHING
        if final:
            self.state = State.ENDED
            return Decision.NOTHING
        self.restarts += not is_double
        if self.state is State.READY:
            if now - self._ready_at >= self.policy.settled:
                self._failures = self._relapses = 0
            else:
                self._relapses += 1
            delay = self._delay(self._relapses - self.policy.free_relapses)
        else:
            self._failures += 1
            if self._failures >= self.policy.attempts:
                self.state = State.FAILED
                return Decision.GIVE_UP
            delay = self._delay(self._failures)
        if delay:
            self.state, self.wake_at = State.BACKOFF, now + delay
            return Decision.NOTHING
        return self._again()

    def retry(self) -> Decision:
        """Start it again after it has failed, and forget the deaths so far."""
        if self.state is not State.FAILED:
            return Decision.NOTHING
        self._failures = self._relapses = 0
        return self._again()

    def tick(self, now: float) -> Decision:
        """The time is ``now``: has a delay or a deadline passed?"""
        if self.wake_at is None or now < self.wake_at:
            return Decision.NOTHING
        if self.state is State.BACKOFF:
            return self._again()
        return self.hung(f"not ready after {self.policy.readiness:g} s")

    def stop(self, reason: str | None = None) -> None:
        """It must end and not be started again, for a reason that ``last_exit`` will show."""
        self.wake_at, self._stopped_because = None, reason
        self.state = State.STOPPED if self.pid is None else State.STOPPING

    def _again(self) -> Decision:
        self.state, self.wake_at = State.STARTING, None
        return Decision.SPAWN

    def _delay(self, attempt: int) -> float:
        if attempt <= 0:
            return 0.0
        base = self.policy.first_delay * 2.0 ** min(attempt - 1, 20)
        return min(self.policy.longest_delay, base * (1 + 0.25 * self.jitter()))


def overall(entries: Iterable[Entry]) -> str:
    """The state of the workflow: ``ready``, ``starting`` or ``degraded``.

    ``starting`` if all daemons that are not ready are still in their first start; ``degraded`` if
    one was ready before, was given up or was stopped.
    """
    lacking = [entry for entry in entries if entry.state not in (State.READY, State.ENDED)]
    if not lacking:
        return "ready"
    gone = (State.FAILED, State.STOPPED)
    if any(entry.was_ready or entry.state in gone for entry in lacking):
        return "degraded"
    return "starting"
