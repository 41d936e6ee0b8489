"""When runs were executed, side by side: the lanes of a timeline. Pure logic."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bar:
    """One run on a timeline, or some that are too short to be told apart.

    Attributes:
        start: when it started (seconds since 1970).
        end: when it ended, or the present time if it runs.
        kind: what the bar shows, such as the run's study and state; bars of one kind may be joined.
        run: STUDY.ID; empty if several are joined.
        count: how many runs it shows.
    """

    start: float
    end: float
    kind: tuple[str, str]
    run: str = ""
    count: int = 1


@dataclass
class Lane:
    """Bars that do not overlap, in the order of their starts.

    Attributes:
        place: the host or node on which these runs were executed.
        number: 1 for the first lane of a place, 2 for the next one.
    """

    place: str
    number: int
    bars: list[Bar] = field(default_factory=list)


def lanes(bars: Iterable[tuple[str, Bar]]) -> list[Lane]:
    """The fewest lanes for bars on their places, in the order of the places' names.

    Each bar is in the first lane of its place that is free when the bar starts.
    """
    of_places: dict[str, list[Bar]] = {}
    for place, bar in bars:
        of_places.setdefault(place, []).append(bar)
    all_lanes: list[Lane] = []
    for place in sorted(of_places):
        here: list[Lane] = []
        busy: list[tuple[float, int]] = []  # when lanes become free
        free: list[int] = []
        for bar in sorted(of_places[place], key=lambda bar: (bar.start, bar.end)):
            while busy and busy[0][0] <= bar.start:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if not free:
                free.append(len(here))
                here.append(Lane(place, len(here) + 1))
            number = heapq.heappop(free)
            here[number].bars.append(bar)
            heapq.heappush(busy, (bar.end, number))
        all_lanes += here
    return all_lanes


def joined(bars: Sequence[Bar], shortest: float) -> Iterator[Bar]:
    """The bars of a lane, where bars closer than ``shortest`` seconds are drawn as one.

    Only bars of one kind are joined. This bounds how many there are, however many runs there were.
    """
    last: Bar | None = None
    for bar in bars:
        if (
            last is not None
            and bar.kind == last.kind
            and bar.start - last.end < shortest
            and (last.end - last.start < shortest or bar.end - bar.start < shortest)
        ):
            last = Bar(last.start, max(last.end, bar.end), bar.kind, "", last.count + bar.count)
            continue
        if last is not None:
            yield last
        last = bar
    if last is not None:
        yield last


def at_once(bars: Iterable[Bar]) -> list[tuple[float, int]]:
    """How many runs were executed at a time: the moments at which that changed, and the counts."""
    changes: dict[float, int] = {}
    for bar in bars:
        changes[bar.start] = changes.get(bar.start, 0) + bar.count
        changes[bar.end] = changes.get(bar.end, 0) - bar.count
    steps, count = [], 0
    for moment in sorted(changes):
        count += changes[moment]
        steps.append((moment, count))
    return steps


@dataclass(frozen=True)
class Bin:
    """How many values are at least ``low`` and less than ``high``; the last bin has ``high``."""

    low: float
    high: float
    count: int


def histogram(values: array[float], most: int = 24) -> list[Bin]:
    """Bins of equal width for some values; of equal ratio if they spread over a factor of 50."""
    if not values:
        return []
    low, high = min(values), max(values)
    if low == high:
        return [Bin(low, high, len(values))]
    number = max(2, min(most, round(len(values) ** 0.5) + 1))
    if low > 0 and high / low > 50:
        edges = [low * (high / low) ** (place / number) for place in range(number + 1)]
    else:
        edges = [low + (high - low) * place / number for place in range(number + 1)]
    edges[-1] = high
    counts = [0] * number
    ordered = sorted(values)
    place = 0
    for value in ordered:
        while place < number - 1 and value >= edges[place + 1]:
            place += 1
        counts[place] += 1
    return [Bin(edges[place], edges[place + 1], counts[place]) for place in range(number)]
