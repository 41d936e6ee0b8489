"""What a launcher tells of itself, for ``motoko ps``."""

from __future__ import annotations

import os
from dataclasses import asdict

from motoko.bus.dispatcher import Counters
from motoko.bus.messages import DaemonStatus
from motoko.workers.launcher.executors import Executors
from motoko.workers.launcher.passes import Passes


def own_status(
    name: str,
    *,
    is_ready: bool,
    slots: int,
    passes: Passes,
    executors: Executors,
    woken: Counters,
) -> DaemonStatus:
    """The status of the launcher that this process is.

    Args:
        name: its name; is_ready: whether it has looked at all runs once.
        slots: how many there are; passes, executors: what it does, and has.
        woken: how it was woken.
    """
    local = executors.local
    running, queued = len(local), len(passes.agenda.waiting) + len(local.ahead.runs)
    hindrance, trouble = passes.hindrance.reason, executors.chosen.trouble
    return DaemonStatus(
        name,
        os.getpid(),
        "ready" if is_ready else "starting",
        detail=f"{running} running, {queued} queued{', paused' * passes.paused}"
        + executors.detail
        + (f"; starts nothing now: {hindrance}" if hindrance else ""),
        trouble=hindrance or trouble,
        counts={
            "running": running,
            "queued": queued,
            "slots": slots,
            "paused": int(passes.paused),
            **executors.counts,
            **asdict(woken),
        },
    )
