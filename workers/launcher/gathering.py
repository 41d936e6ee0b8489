"""How long runs wait for others to be submitted with them. Pure logic.

Every submission costs the scheduler something, and the runs of a pack can wait for a moment: their
job costs some seconds anyway. What is lost with nodes, or fails and is tried again, comes in small
parts: these are gathered for as long as most of the study's runs go on without them.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from motoko.workers.launcher.batch_run import BatchRun

# Runs that are created together arrive in parts. Submission waits until none has arrived for
# QUIET_S, and no longer than GATHER_S, or for packs GATHER_PACKS_S.
QUIET_S = 0.3
GATHER_S = 2.0
GATHER_PACKS_S = 10.0
# When a pack is cut off, those of its runs that had not started arrive at once, and those that had
# started when they are tried again, 1 s after their ends were recorded.
QUIET_AGAIN_S = 3.0
# Between two submissions of what was submitted before, while more runs go on than wait: Slurm
# itself lets a job whose node has failed wait for two minutes.
SPARING_S = 120.0


class Gathering:
    """When the runs that wait are submitted. All times are of ``time.monotonic``."""

    def __init__(self) -> None:
        self._came = self._began = 0.0  # when the last of the waiting runs came, and the first
        self._submitted = -math.inf  # when the last submission was made

    def come(self, now: float, *, is_first: bool) -> None:
        """A run has come; ``is_first``: none waits yet."""
        self._came = now
        if is_first:
            self._began = now

    def submitted(self, at: float) -> None:
        """All that waited was submitted, by this launcher or an earlier one."""
        self._submitted = max(self._submitted, at)

    def opens_at(self, waiting: Collection[BatchRun], others: int, *, arrays: bool) -> float:
        """When the runs that wait may be submitted.

        Args:
            waiting: the runs that wait.
            others: how many runs of the study go on meanwhile.
            arrays: whether runs that are in no pack may be in one array.
        """
        if not any(run.is_packed for run in waiting):
            return min(self._came + QUIET_S, self._began + GATHER_S) if arrays else 0.0
        latest = self._began + GATHER_PACKS_S
        if not all(run.is_packed and run.is_again for run in waiting):
            return min(self._came + QUIET_S, latest)
        opens = min(self._came + QUIET_AGAIN_S, latest)
        return max(opens, self._submitted + SPARING_S) if others > len(waiting) else opens
