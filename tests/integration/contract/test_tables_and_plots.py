"""Selections and run lists as tables, as ``motoko table`` shows them; and plots of the same."""

import json

import numpy
import pytest
import transaction
from contracts import change, elsewhere

from motoko import ConfigError, ConstraintError, RunList
from motoko.api import run_tables


def shown(flow, name):
    arguments = ("table", "mult", "--run_name", name, "--format", "json")
    return json.loads(flow.motoko(*arguments).stdout)


def rows(frame):
    return json.loads(frame.to_json(orient="records", double_precision=15))


@pytest.fixture
def runs(wf):
    """Three runs, as somebody else has ended them."""
    runs = wf.mult.createTask(points=[{"x": 3.0}, {"x": 1.0}, {"x": 2.0}])
    curve = numpy.arange(5.0)
    change(wf, runs[0][0], state="FINISHED", energy=1.5, done=True, curve=curve, few=[1, 2])
    change(wf, runs[1][0], state="FINISHED", energy=-2.0, count=3)
    change(wf, runs[2][0], state="FAILED", note="q")
    wf.mult.base.db.storage.ping()
    assert len(wf.mult.select("energy = 1.5")) == 1  # it is in this process's view
    return runs


def test_the_same_as_motoko_table(flow, wf, runs, monkeypatch):
    wanted = shown(flow, wf.run_name)
    selection = wf.mult.select()
    for _ in range(2):
        for table in (selection, runs):
            arrow = table.to_arrow()
            assert arrow.column_names == list(wanted[0])
            assert [*map(dict, arrow.to_pylist())] == [
                {**row, "curve": row["curve"] and "<numpy.ndarray>"} for row in wanted
            ]
            frame = table.to_pandas()
            assert list(frame.columns) == list(wanted[0])
            assert list(frame["id"]) == [row["id"] for row in wanted]
            assert frame["energy"][0] == 1.5 and frame["done"][0] and frame["few"][0] == [1, 2]
            assert table.to_polars().columns == arrow.column_names
        monkeypatch.setattr(run_tables, "FEW", 1)  # long lists are read otherwise
    assert selection.to_arrow().schema.metadata[b"motoko.tid.mult"]
    failed = wf.mult.select("state = FAILED").to_pandas("note, jobs.x")
    assert failed.to_dict("list") == {"note": ["q"], "jobs.x": [2.0]}


def test_what_is_large_is_there_if_it_is_named(wf, runs):
    for table in (wf.mult.select(), runs):
        frame = table.to_pandas(["curve", "id"])
        assert frame["curve"][0].tolist() == [0, 1, 2, 3, 4] and frame["curve"][1] is None
        assert list(frame["id"]) == [run.id for run, _ in runs]


def test_own_changes_are_seen(wf, runs):
    runs[1][0]["energy"] = 7.0
    runs[1][0]["fresh"] = "é"
    frame = wf.mult.select("energy > 1").to_pandas()
    assert list(frame["energy"]) == [1.5, 7.0] and list(frame["fresh"]) == [None, "é"]
    assert list(frame.columns)[-1] == "fresh"
    assert list(runs.to_pandas(["fresh"])["fresh"]) == [None, "é", None]
    transaction.abort()
    assert list(wf.mult.select("energy > 1").to_pandas()["energy"]) == [1.5]
    with pytest.raises(ConfigError, match="fresh"):
        runs.to_pandas(["fresh"])


def test_order_and_repetition(wf, runs, monkeypatch):
    listed = RunList([runs[2], runs[0], runs[2]])
    wanted = [runs[2][0].id, runs[0][0].id, runs[2][0].id]
    assert list(listed.to_pandas()["id"]) == wanted
    monkeypatch.setattr(run_tables, "FEW", 1)
    assert list(listed.to_pandas()["id"]) == wanted


def test_deleted_runs_are_left_out(wf, monkeypatch):
    runs = wf.mult.createTask(x=[1.0, 2.0])
    number = runs[0][0].id
    elsewhere(wf, lambda other: other.mult.base.runs.entries[number].delete())
    wf.mult.base.db.storage.ping()
    for few in (run_tables.FEW, 1):
        monkeypatch.setattr(run_tables, "FEW", few)
        assert list(runs.to_pandas()["id"]) == [runs[1][0].id]


def test_nothing_selected(wf):
    names = ["id", "state", "run_name", "x", "y", "z"]
    for table in (wf.mult.select(), wf.mult.createTask(x=[])):
        frame = table.to_pandas()
        assert len(frame) == 0 and list(frame.columns)[:6] == names
        assert list(table.to_pandas(["z", "id"]).columns) == ["z", "id"]
    assert list(RunList([]).to_pandas().columns) == names[:3]


def test_what_is_refused(wf, runs):
    with pytest.raises(ConfigError, match="'energi'"):
        wf.mult.select().to_pandas(["energi"])
    with pytest.raises(ConstraintError, match="'energi'"):
        wf.mult.select("energi > 1").to_pandas()
    both = RunList([*runs, *wf.add.createTask(x=1.0)])
    with pytest.raises(ConfigError, match="several studies: add, mult"):
        both.to_pandas()


def test_plots(flow, wf, runs):
    pytest.importorskip("matplotlib")
    of_test = ("plot", "mult", "--run_name", wf.run_name, "--x", "x", "--y")
    done = flow.motoko(*of_test, "energy", "--constraints", "x > 0", "-o", "q.svg")
    assert done.returncode == 0, done.stderr
    assert "mult: 1 run without x or energy left out\n" in done.stderr
    assert "mult: as of transaction" in done.stderr
    assert "<!-- mult: energy over x, x &gt; 0 -->" in (flow.directory / "q.svg").read_text()
    done = flow.motoko(*of_test, "energi", "-o", "z.png")
    assert done.returncode == 2 and "did you mean 'energy'" in done.stderr
    assert not list(flow.directory.glob("*z.png*"))
