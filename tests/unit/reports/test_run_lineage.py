"""What a run came from, and what came of it."""

import pytest

from motoko.errors import NoSuchRun
from motoko.reports.run_graph import Row
from motoko.reports.run_lineage import in_ranges, lineage
from motoko.runs.references import Reference

ROWS = [
    *(Row("mesh", number, "FINISHED", "") for number in range(1, 6)),
    *(Row("solve", number, "FINISHED", "mesh:1-3") for number in range(1, 4)),
    Row("solve", 4, "FINISHED", "", ("mesh.5", "not a run")),
    Row("fit", 1, "FINISHED", "solve:1-2"),
    Row("fit", 2, "CREATED", "fit:1", ("fit.2",)),
]


def of(study, number):
    line = lineage(Reference(study, number), ROWS)
    return [
        dict(part) for part in (line.before, line.further_before, line.after, line.further_after)
    ]


def test_lineage():
    assert of("mesh", 1) == [{}, {}, {"solve": [1, 2, 3]}, {"fit": [1, 2]}]
    assert of("mesh", 4) == [{}, {}, {}, {}]
    assert of("mesh", 5) == [{}, {}, {"solve": [4]}, {}]
    assert of("solve", 1) == [{"mesh": [1, 2, 3]}, {}, {"fit": [1]}, {"fit": [2]}]
    assert of("fit", 2) == [{"fit": [1]}, {"mesh": [1, 2, 3], "solve": [1, 2]}, {}, {}]
    with pytest.raises(NoSuchRun):
        of("fit", 3)


def test_a_circle_ends():
    rows = [Row("a", 1, "FINISHED", "b:1"), Row("b", 1, "FINISHED", "a:1")]
    line = lineage(Reference("a", 1), rows)
    assert (line.before, line.further_before) == ({"b": [1]}, {})


def test_in_ranges():
    assert in_ranges([]) == ""
    assert in_ranges([1, 2, 3, 5, 7, 8]) == "1-3, 5, 7-8"
    assert in_ranges(range(0, 100, 2)).endswith("22, ...")
