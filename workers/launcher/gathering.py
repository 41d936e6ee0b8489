"""How long runs wait for others to be submitted with them. Pure logic.

Every submission costs the scheduler something, and the runs of a pack can wait for a moment: their
job costs some seconds anyway. What is lost with nodes, or fails and is tried again, comes in small
parts: these are gathered while other runs of the study go on. The longer the study has gone on, the
longer they may wait: so the number of submissions grows with the logarithm of that time, and what
is lost waits no longer than it has already waited, and a moment.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from motoko.workers.launcher.batch_run import BatchRun

# Runs that are created together arrive in parts. Submission waits until none has arrived for
# QUIET_S, and no longer than GATHER_S, or for packs GATHER_PACKS_S.
QUIET_S = 0.3
GATHER_S = 2.0
GATHER_PACKS_S = 10.0
# So long it waits for packs if it is known that more runs come: their directories are being made.
GATHER_MORE_S = 60.0
# When a pack is cut off, those of its runs that had not started arrive at once, and those that had
# started when they are tried again, 1 s after their ends were recorded, or somewhat later.
QUIET_AGAIN_S = 3.0
# Between two submissions of what was submitted before, while other runs go on: Slurm itself lets a
# job whose node has failed wait for two minutes. Each pause is twice as long as the one before.
SPARING_S = 120.0
SPARING_MOST_S = 1800.0


@dataclass(frozen=True)
class Submitted:
    """When (``time.monotonic``) a study's runs were submitted in packs.

    Attributes:
        first: the last time that runs were among them that had not been submitted before.
        last: the last time.
    """

    first: float = -math.inf
    last: float = -math.inf

    @property
    def spares_until(self) -> float:
        """Until when nothing is submitted again while other runs go on."""
        if self.last == -math.inf:
            return self.last
        return self.last + min(SPARING_S + self.last - self.first, SPARING_MOST_S)


class Gathering:
    """When the runs that wait are submitted. All times are of ``time.monotonic``.

    Attributes:
        submitted: when runs were submitted before, by this launcher or an earlier one.
    """

    def __init__(self) -> None:
        self.submitted = Submitted()
        self._came = self._began = 0.0  # when the last of the waiting runs came, and the first
        self._are_more = False  # whether others are about to come
        self._next = math.inf  # or else when the next one comes, as far as that is known
        self._has_first = False  # whether runs that came for the first time have gone just now

    def come(self, now: float, *, is_first: bool) -> None:
        """A run has come; ``is_first``: none waits yet."""
        self._came = now
        if is_first:
            self._began = now

    def expect(self, *, more: bool, next_at: float) -> None:
        """Whether more runs are about to come, and when one comes that is tried again."""
        self._are_more, self._next = more, next_at

    def after(self, runs: Collection[BatchRun], at: float) -> Submitted:
        """When runs were submitted, if these are submitted now, and none waits then."""
        is_first = self._has_first or not all(run.is_again for run in runs)
        is_first |= self.submitted.first == -math.inf
        return Submitted(at if is_first else self.submitted.first, at)

    def gone(self, runs: Collection[BatchRun], at: float, *, are_all: bool) -> None:
        """Runs were submitted; ``are_all``: none waits any more."""
        after = self.after(runs, at)
        self._has_first = after.first == at and not are_all
        if are_all:
            self.submitted = after

    def opens_at(self, waiting: Collection[BatchRun], others: int, *, arrays: bool) -> float:
        """When the runs that wait may be submitted.

        Args:
            waiting: the runs that wait.
            others: how many runs of the study go on meanwhile.
            arrays: whether runs that are in no pack may be in one array.
        """
        are_packed = any(run.is_packed for run in waiting)
        if not (are_packed or arrays):
            return 0.0
        if self._are_more:
            return self._began + (GATHER_MORE_S if are_packed else GATHER_S)
        latest = self._began + (GATHER_PACKS_S if are_packed else GATHER_S)
        if not all(run.is_packed and run.is_again for run in waiting):
            return min(self._came + QUIET_S, latest)
        opens = min(self._came + QUIET_AGAIN_S, latest)
        if self._next <= latest:
            opens = max(opens, self._next + QUIET_S)
        return max(opens, self.submitted.spares_until) if others else opens
