"""What a launcher tells of itself, for ``motoko ps``, and when."""

from __future__ import annotations

import asyncio
import math
import os
import time

from motoko.bus.dispatcher import Counters
from motoko.bus.messages import DaemonStatus
from motoko.bus.publisher import Publisher
from motoko.workers.launcher.executors import Executors
from motoko.workers.launcher.passes import Passes

BEAT_S = 1.0  # while it copies files
SOON_S = 0.25  # from one report to the next, at least, while runs start and end
IDLE_S = 0.05  # in a chain of runs the next one starts sooner


class OwnStatus:
    """The status of the launcher that this process is.

    Args:
        publisher: sends it.
        name: the launcher's name.
        slots: how many there are; passes, executors: what it does, and has.

    Attributes:
        is_ready: whether it has looked at all runs once.
        woken: how it was woken.
    """

    def __init__(
        self, publisher: Publisher, name: str, slots: int, passes: Passes, executors: Executors
    ) -> None:
        self.is_ready = False
        self.woken = Counters()
        self._publisher = publisher
        self._name = name
        self._slots = slots
        self._passes = passes
        self._executors = executors
        self._reported_at = -math.inf
        self._told_running = False
        self._soon: asyncio.TimerHandle | None = None

    def report(self) -> None:
        """Send it."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._reported_at = time.monotonic()
        self._told_running = len(self._executors.local) > 0
        self._publisher.send(self._now())

    def report_soon(self) -> None:
        """Send it, at most so often: short runs end more often than anybody looks.

        That a run is running is told at once: commands that stop the launcher ask for consent then.
        That none is any more is told when none has started for a moment.
        """
        is_running, now = len(self._executors.local) > 0, time.monotonic()
        if is_running == self._told_running:
            left = self._reported_at + SOON_S - now
        else:
            left = 0.0 if is_running else IDLE_S
        if left <= 0:
            self.report()
            return
        if self._soon is not None:
            self._soon.cancel()
        self._soon = asyncio.get_running_loop().call_later(left, self.report)

    def report_now_and_then(self) -> None:
        """Send it if the last one was sent some time ago: large files are copied meanwhile."""
        if time.monotonic() > self._reported_at + BEAT_S:
            self.report()

    def _now(self) -> DaemonStatus:
        passes, executors = self._passes, self._executors
        local = executors.local
        running, queued = len(local), len(passes.agenda.waiting) + len(local.ahead.runs)
        hindrance, trouble = passes.hindrance.reason, executors.chosen.trouble
        return DaemonStatus(
            self._name,
            os.getpid(),
            "ready" if self.is_ready else "starting",
            detail=f"{running} running, {queued} queued{', paused' * passes.paused}"
            + executors.detail
            + (f"; starts nothing now: {hindrance}" if hindrance else ""),
            trouble=hindrance or trouble,
            counts={
                "running": running,
                "queued": queued,
                "slots": self._slots,
                "paused": int(passes.paused),
                **executors.counts,
                **vars(self.woken),
            },
        )
