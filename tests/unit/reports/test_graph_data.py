"""How runs have led to runs, as data."""

import json

from motoko.reports.graph_data import graph_data
from motoko.reports.run_graph import Row


def test_runs_that_came_after_the_same_runs_are_together():
    rows = [Row("mesh", number, "FINISHED", "") for number in (1, 2, 3)]
    rows += [Row("solve", number, "FINISHED", "mesh:1-3") for number in (1, 2, 5)]
    rows += [Row("solve", 6, "FAILED", "mesh:2", ("solve.1", "mesh.2"))]
    data = json.loads(json.dumps(graph_data(["mesh", "solve", "none"], rows)))
    assert data == {
        "studies": {"mesh": {"FINISHED": 3}, "solve": {"FAILED": 1, "FINISHED": 3}, "none": {}},
        "led": [
            {"study": "solve", "runs": [[1, 2], [5, 5]], "after": {"mesh": [[1, 3]]}},
            {"study": "solve", "runs": [[6, 6]], "after": {"mesh": [[2, 2]], "solve": [[1, 1]]}},
        ],
    }
