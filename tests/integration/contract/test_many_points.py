"""createTask at points that are no product, and ``motoko create-runs``."""

import asyncio

import pandas
import pytest
from contracts import script
from support import write_workflow

from motoko import ParameterError, Workflow
from motoko.api import task_manager

POINTS = [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}, {"x": 1.0, "y": 2.0}]


def values(runs):
    return [tuple(job.entries[name] for name in "xyz") for _, job in runs]


def test_points_with_what_is_given_for_all(wf):
    runs = wf.mult.createTask(points=POINTS, z=5.0, run_params={"nproc": 2})
    assert values(runs) == [(1.0, 2.0, 5.0), (3.0, 4.0, 5.0), (1.0, 2.0, 5.0)]
    assert runs[0][0] is runs[2][0] and runs[0][0].nproc == 2
    assert runs[0][0].event_name == "test_points_with_what_is_given_for_all"
    assert len(wf.mult.select()) == wf.mult.made == 2
    again = wf.mult.createTask(points=pandas.DataFrame(POINTS), z=[5.0], run_params={"nproc": 2})
    assert [run.id for run, _ in again] == [run.id for run, _ in runs] and wf.mult.made == 0
    same = wf.mult.createTask(x=3.0, y=4.0, z=5.0, run_params={"nproc": 2})
    assert same[0][0].id == runs[1][0].id
    assert wf.mult.createTask(points=[]).runs == []


def test_nothing_is_made_if_anything_is_wrong(wf, monkeypatch):
    monkeypatch.setattr(task_manager, "AT_ONCE", 1)
    before = len(wf.mult.base.runs.entries)
    with pytest.raises(ParameterError, match=r"points\[2\].*'x' is 'q'"):
        wf.mult.createTask(points=[*POINTS[:2], {"x": "q", "y": 1.0}])
    with pytest.raises(ParameterError, match="points"):
        wf.mult.createTask(points=POINTS, x=3.0)
    assert len(wf.mult.base.runs.entries) == before


def test_many_are_saved_in_parts(wf, monkeypatch):
    """Many runs are saved in parts in a handler, too: others see the first before it returns."""
    monkeypatch.setattr(task_manager, "AT_ONCE", 2)

    async def main():
        runs = wf.mult.createTask(points=[{"x": float(x)} for x in range(5)])
        assert all(run._p_serial != bytes(8) for run, _ in runs) and wf.mult.made == 5
        few = wf.mult.createTask(points=[{"x": 9.0}])
        assert few[0][0]._p_serial == bytes(8)
        await asyncio.sleep(0)
        return [job.x for _, job in runs]

    assert script(wf, main) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_parameters_with_such_names(tmp_path, wf):
    """A study may declare parameters named points and after."""
    flow = write_workflow(tmp_path / "wf")
    (flow.directory / "mult" / "bd.yaml").write_text(
        "study: mult\njob:\n  x: float\n  points: int\n  after: any\n"
    )
    other = Workflow(flow.path)
    made = []
    manager = other.mult
    other.run_name = "r"
    manager._created = lambda jobs, *_: made.extend(jobs) or []
    manager.createTask(x=[1.0, 2.0], points=[1, 2], after=None)
    assert [(job["x"], job["points"]) for job in made] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert made[0]["after"] is None
    made.clear()
    manager.create_runs([{"points": 3}], {"x": 1.0, "after": None})
    assert made == [{"x": 1.0, "points": 3, "after": None}]


def test_create_runs(flow, wf, request):
    name = request.node.name
    path = flow.directory / "points.csv"
    path.write_text("x,y\n1,2\n3,4\n1,2\n")
    arguments = ("create-runs", "mult", "--from", "points.csv", "-n", name, "--set", "z=5")
    done = flow.motoko(*arguments)
    assert done.stdout == ("mult: 2 runs created, 0 existed already, 1 point given again\n"), (
        done.stderr
    )
    again = wf.mult.createTask(points=POINTS, z=5.0)
    assert {run.id for run, _ in again} == {run.id for run, _ in wf.mult.select()}
    assert wf.mult.made == 0 and {run.event_name for run, _ in wf.mult.select()} == {"create-runs"}
    path.write_text("x,y\n1,2\n3,4\n7,8\n")
    assert "1 run created, 2 existed already\n" in flow.motoko(*arguments).stdout
    path.write_text("x,y\n10,20\nq,4\n")
    done = flow.motoko(*arguments)
    assert done.returncode == 2 and "line 3, column 'x': 'q' is no float" in done.stderr
    path.write_text("y\n20\n")
    done = flow.motoko(*arguments)
    assert done.returncode == 2 and "points.csv: line 2: job parameter 'x'" in done.stderr
    assert len(wf.mult.select()) == 3
    done = flow.motoko(*arguments[:-2], "--set", "x=1", "--run_params", "nproc=q")
    assert done.returncode == 2 and "nproc" in done.stderr
