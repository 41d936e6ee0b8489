"""The runs that wait to be started, lowest number first. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class RunQueue:
    """Run numbers, each with the time before which the run must not be started.

    The cost of looking for the next runs grows with how many are taken, not with how many wait.
    """

    def __init__(self) -> None:
        self._not_before: dict[int, float] = {}
        self._ready: list[int] = []  # heaps; runs that were removed are skipped
        self._later: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._not_before)

    def __contains__(self, number: int) -> bool:
        return number in self._not_before

    def add(self, number: int, not_before: float = 0.0) -> None:
        """Add a run; one that waits already keeps its time."""
        if number not in self._not_before:
            self._not_before[number] = not_before
            heapq.heappush(self._later, (not_before, number))

    def remove(self, number: int) -> None:
        """Remove a run, if it waits."""
        self._not_before.pop(number, None)

    def due(self, now: float) -> Iterator[int]:
        """The runs that may start at ``now``, in order. They stay in the queue."""
        while self._later and self._later[0][0] <= now:
            heapq.heappush(self._ready, heapq.heappop(self._later)[1])
        seen: set[int] = set()
        try:
            while self._ready:
                number = heapq.heappop(self._ready)
                if number not in seen and self._not_before.get(number, now + 1) <= now:
                    seen.add(number)
                    yield number
        finally:
            for number in seen & self._not_before.keys():
                heapq.heappush(self._ready, number)

    def next_at(self, now: float) -> float | None:
        """When the next run may start that may not start at ``now``; ``None`` if there is none."""
        while self._later and self._not_before.get(self._later[0][1]) != self._later[0][0]:
            heapq.heappop(self._later)
        return next((at for at, _ in self._later[:1] if at > now), None)
