"""What a run came from, and what came of it. Pure logic."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from motoko.errors import NoSuchRun
from motoko.reports.run_graph import Row, ranges_before
from motoko.runs.references import Reference
from motoko.runs.run_sets import unbroken

RANGES_MAX = 12  # that are named
Step = Callable[[set[Reference]], set[Reference]]
Runs = Mapping[str, Sequence[int]]  # by study, the numbers in order


@dataclass(frozen=True)
class Lineage:
    """The runs before and after a run, by study.

    Attributes:
        run: the run.
        before: what it came from at once: what the code that created it had awaited, or was called
            for. further_before: what those runs came from, except for ``before``.
        after: what was created after it; further_after: what was created after those runs.
    """

    run: Reference
    before: Runs
    further_before: Runs
    after: Runs
    further_after: Runs


def lineage(run: Reference, rows: Iterable[Row]) -> Lineage:
    """The lineage of a run, given all runs of the workflow; ``NoSuchRun`` if it is not there."""
    groups: dict[tuple[str, tuple[str, ...]], dict[str, list[int]]] = {}
    numbers: dict[str, list[int]] = {}
    key_of: dict[Reference, tuple[str, tuple[str, ...]]] = {}
    for row in rows:
        key = row.after, row.named
        groups.setdefault(key, {}).setdefault(row.study, []).append(row.number)
        numbers.setdefault(row.study, []).append(row.number)
        key_of[Reference(row.study, row.number)] = key
    if run not in key_of:
        raise NoSuchRun(
            f"study {run.study} has no run {run.run_id}", hint="`motoko table` shows its runs"
        )
    spans = {key: ranges_before(*key) for key in groups}
    for known in numbers.values():
        known.sort()

    def before(runs: Iterable[Reference]) -> set[Reference]:
        keys = {key_of[one] for one in runs if one in key_of}
        return {
            Reference(study, number)
            for key in keys
            for study, (first, last) in spans[key]
            for number in _between(numbers.get(study, []), first, last)
        }

    def after(runs: Iterable[Reference]) -> set[Reference]:
        wanted: dict[str, list[int]] = {}
        for study, number in sorted(runs):
            wanted.setdefault(study, []).append(number)
        return {
            Reference(study, number)
            for key, members in groups.items()
            if any(
                _between(wanted.get(study, []), first, last) for study, (first, last) in spans[key]
            )
            for study, ids in members.items()
            for number in ids
        }

    return Lineage(run, *_steps(run, before), *_steps(run, after))


def in_ranges(numbers: Sequence[int]) -> str:
    """Numbers in order, as ranges: ``1-5, 8``."""
    ranges = unbroken(numbers)
    texts = [f"{first}-{last}" if first < last else str(first) for first, last in ranges]
    if len(texts) > RANGES_MAX:
        texts[RANGES_MAX:] = ["..."]
    return ", ".join(texts)


def _steps(run: Reference, step: Step) -> tuple[Runs, Runs]:
    """The runs one step from a run, and those of all further steps."""
    near = step({run}) - {run}
    known, edge = set(near), set(near)
    while edge := step(edge) - known - {run}:
        known |= edge
    return _by_study(near), _by_study(known - near)


def _by_study(runs: Iterable[Reference]) -> dict[str, list[int]]:
    by_study: dict[str, list[int]] = {}
    for study, number in sorted(runs):
        by_study.setdefault(study, []).append(number)
    return by_study


def _between(numbers: Sequence[int], first: int, last: int) -> Sequence[int]:
    return numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]
