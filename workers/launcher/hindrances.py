"""What keeps a launcher from starting anything now: the machine's troubles, not the runs'.

Meanwhile runs wait as they are, without losing an attempt, and the launcher tries again by itself.
"""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Sequence

from motoko.errors import MotokoError
from motoko.host.machine_troubles import described, passes
from motoko.host.pauses import Pauses
from motoko.runs import run_programs
from motoko.store.blackdynamite_daemons import ForeignDaemon

log = logging.getLogger(__name__)

PAUSE_S = 1.0
PAUSE_MAX_S = 10.0


class Hindered(Exception):
    """Nothing can be started now. Its text says why."""


def hindered(error: Exception) -> Hindered | None:
    """The machine's trouble that an error tells of; ``None`` if its cause is not the machine."""
    cause = error.__cause__ if isinstance(error, MotokoError) else error
    if isinstance(cause, OSError) and passes(cause):
        return Hindered(described(cause))
    return None


def check_environment() -> None:
    """Raise ``Hindered`` if the programs that runs need are gone with Motoko's own environment."""
    for directory in run_programs.programs():
        if not pathlib.Path(directory).is_dir():
            raise Hindered(f"{directory} is gone, and with it programs that runs need")


class Rivals:
    """BlackDynamite's own launchers of a study that were at work before ours started.

    Args:
        daemons: those launchers. The ZEO server refuses any that come later.
        ended: called when all of them have ended.
    """

    def __init__(
        self, daemons: Sequence[ForeignDaemon] = (), ended: Callable[[], None] | None = None
    ) -> None:
        self._daemons = daemons
        self._ended = ended

    def check(self) -> None:
        """Raise ``Hindered`` while one of them is at work: it may start any run that waits."""
        for daemon in self._daemons:
            if daemon.identity.alive:
                raise Hindered(f"{daemon} is at work: nothing is started beside it")
        if self._daemons and self._ended is not None:
            self._ended()
        self._daemons = ()


class Hindrance:
    """Whether something keeps the launcher from starting anything, and until when.

    Attributes:
        reason: what keeps it from that; empty if nothing does.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._until = 0.0
        self._pauses = Pauses(PAUSE_S, PAUSE_MAX_S)

    def note(self, reason: str, now: float) -> None:
        """Note what has kept us from starting a run at ``now`` (seconds, monotonic)."""
        pause = self._pauses.next()
        if reason != self.reason:
            log.warning("nothing can be started now, runs wait: %s", reason)
        self.reason, self._until = reason, now + pause

    def clear(self) -> None:
        """There is no hindrance any more: a run was started, or no run waits."""
        if self.reason:
            log.info("runs are started again")
        self.reason = ""
        self._pauses.restart()

    def left(self, now: float) -> float:
        """For how many more seconds no start is tried."""
        return max(0.0, self._until - now) if self.reason else 0.0
