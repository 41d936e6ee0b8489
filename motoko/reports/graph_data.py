"""How runs have led to runs, as data for other programs. Pure logic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from motoko.reports.run_graph import Row, ranges_before
from motoko.runs.run_sets import unbroken


def graph_data(studies: Iterable[str], rows: Iterable[Row]) -> dict[str, Any]:
    """The graph of single runs, in the form of a JSON object.

    ``studies`` has, by name, the number of runs in each state. ``led`` has an object for all runs
    of a study that came after the same runs: ``runs``, and by study the runs ``after`` which they
    were created, each as pairs of the first and the last number.
    """
    states: dict[str, Counter[str]] = {study: Counter() for study in studies}
    groups: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
    for row in rows:
        states[row.study][row.state] += 1
        groups.setdefault((row.study, row.after, row.named), []).append(row.number)
    led = []
    for (study, after, named), numbers in groups.items():
        before: dict[str, set[tuple[int, int]]] = {}
        for other, span in ranges_before(after, named):
            before.setdefault(other, set()).add(span)
        if before:
            spans = {other: sorted(of_other) for other, of_other in before.items()}
            led.append({"study": study, "runs": unbroken(numbers), "after": spans})
    return {
        "studies": {study: dict(sorted(counts.items())) for study, counts in states.items()},
        "led": led,
    }
