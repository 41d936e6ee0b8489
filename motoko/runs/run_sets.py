"""Sets of runs of several studies, in a text of bounded length: ``mesh:1-200,207;solve:3``.

At most ``RANGES_MAX`` ranges of a study are kept. If there are more, the ranges with the smallest
gap between them become one. The study is marked by ``~`` then: not all these runs are in the set.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

RANGES_MAX = 12  # of a study
TEXT_MAX = 1000  # characters; studies beyond that are left out

Range = tuple[int, int]


def unbroken(numbers: Iterable[int]) -> list[Range]:
    """The ranges that numbers make up, in order: the first and the last number of each."""
    ranges: list[Range] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


class RunSet:
    """Runs by study and number; adding a run takes the same time however many there are."""

    __slots__ = ("_ranges", "_rough", "_text")

    def __init__(self) -> None:
        self._ranges: dict[str, list[Range]] = {}
        self._rough: set[str] = set()
        self._text: str | None = ""

    @classmethod
    def of(cls, text: str) -> RunSet:
        """The set that a text describes; what cannot be read is left out."""
        made = cls()
        for part in text.split(";"):
            study, _, ranges = part.rpartition(":")
            rough = ranges.startswith("~")
            numbers = [_range(span) for span in ranges.removeprefix("~").split(",")]
            for span in filter(None, numbers):
                made._join(study, span)
            if rough and study in made._ranges:
                made._rough.add(study)
        return made

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __iter__(self) -> Iterator[tuple[str, Range]]:
        """The study, first and last number of each range."""
        for study, ranges in self._ranges.items():
            for span in ranges:
                yield study, span

    def copy(self) -> RunSet:
        """A set of its own with the same runs."""
        made = RunSet()
        made._ranges = {study: list(ranges) for study, ranges in self._ranges.items()}
        made._rough, made._text = set(self._rough), self._text
        return made

    def add(self, study: str, numbers: Iterable[int]) -> None:
        """Add runs of a study."""
        for span in unbroken(numbers):
            self._join(study, span)

    def update(self, other: RunSet) -> None:
        """Add the runs of another set."""
        for study, span in other:
            self._join(study, span)
        if other._rough:
            self._rough |= other._rough
            self._text = None

    @property
    def text(self) -> str:
        """The set as a text; empty if it is empty."""
        if self._text is None:
            parts: list[str] = []
            for study in sorted(self._ranges):
                ranges = ",".join(f"{a}-{b}" if a < b else str(a) for a, b in self._ranges[study])
                part = f"{study}:{'~' if study in self._rough else ''}{ranges}"
                if sum(map(len, parts)) + len(part) + len(parts) <= TEXT_MAX:
                    parts.append(part)
            self._text = ";".join(parts)
        return self._text

    def _join(self, study: str, new: Range) -> None:
        """Add a range: the ranges that it touches become one with it."""
        ranges = self._ranges.setdefault(study, [])
        first, last = new
        end = bisect_right(ranges, (last + 1, 1 << 62))
        begin = end
        while begin and ranges[begin - 1][1] >= first - 1:
            begin -= 1
        touched = ranges[begin:end]
        if touched:
            first, last = min(first, touched[0][0]), max(last, max(b for _, b in touched))
            if touched == [(first, last)]:
                return
        ranges[begin:end] = [(first, last)]
        self._text = None
        self._ranges[study] = self._few(study, ranges)

    def _few(self, study: str, ranges: list[Range]) -> list[Range]:
        while len(ranges) > RANGES_MAX:
            gaps = [b[0] - a[1] for a, b in pairwise(ranges)]
            at = gaps.index(min(gaps))
            ranges[at : at + 2] = [(ranges[at][0], ranges[at + 1][1])]
            self._rough.add(study)
        return ranges


def _range(text: str) -> Range | None:
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        return None
    return int(first), int(last or first)
