"""Pauses between attempts: each up to twice as long as the one before."""

from __future__ import annotations

import random


class Pauses:
    """How long to wait before each further attempt, in seconds.

    Pauses are drawn at random between half of the due time and all of it, so that processes that
    collided do not collide again.

    Args:
        first: the longest time of the first pause.
        longest: the longest time of any pause.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._due = first

    def next(self) -> float:
        """The next pause."""
        due, self._due = self._due, min(2 * self._due, self._longest)
        return random.uniform(due / 2, due)

    def restart(self) -> None:
        """Begin with the first pause again."""
        self._due = self._first
