"""How many jobs the scheduler lets a study have in its queue: read, or learned. Pure logic.

A limit may be of a user, an account, a QOS or of the whole queue, and not all of them can be read.
What was taken and what was refused tells: so few submissions are in vain.
"""

from __future__ import annotations

import math

# What was refused is tried again after this time: a limit may have been raised.
LEARNED_S = 600.0


class Allowance:
    """What is known of the limit. Times are of ``time.monotonic``."""

    def __init__(self) -> None:
        self._taken = 0  # so many jobs in the queue were taken
        self._refused = math.inf  # and so many were not
        self._at = 0.0  # when they were refused
        self._doubted = False  # whether less than was taken before was refused just now

    def learn(self, limit: int) -> None:
        """The scheduler says how many jobs it takes."""
        self._taken, self._refused, self._at = limit, limit + 1, math.inf

    def accepted(self, jobs: int) -> None:
        """It has taken a submission with which there are so many jobs."""
        self._taken, self._doubted = max(self._taken, jobs), False
        if jobs >= self._refused:
            self._refused = math.inf

    def refused(self, jobs: int, now: float) -> None:
        """It has not."""
        if jobs <= self._taken and not self._doubted:
            self._doubted = True  # jobs that are over may still have been in the queue
            return
        self._refused, self._at, self._doubted = jobs, now, False
        if jobs <= self._taken:
            self._taken = jobs // 2

    def most(self, now: float) -> float:
        """With how many jobs a submission is worth a try; ``inf``: any number."""
        if self._refused == math.inf:
            return math.inf
        if now > self._at + LEARNED_S:
            return max(self._refused, 2 * self._taken)
        if self._refused - self._taken <= max(1, self._taken // 8):
            return self._taken
        return max(1, (self._taken + int(self._refused)) // 2)

    def room(self, jobs: int, wanted: int, now: float) -> int:
        """How many jobs may be added to those in the queue, of those that are wanted.

        None if so few may that it is better to wait for more: each submission costs something.
        """
        most = self.most(now)
        if jobs + wanted <= most:
            return wanted
        room = max(0, int(most) - jobs)
        return room if 2 * room >= most or not jobs else 0
