"""``motoko report``: one page that tells all, with servers up or down."""

import datetime
import os
import re

import pytest
from runs import ended, make_runs, run_directory
from support import Flow

EVIL = "<script>alert('x')</script>"


def executed(flow, number, seconds, state, **entries):
    """The entries of a run that took some time, with its exit record."""
    record = run_directory(flow, number) / ".motoko" / "exit-1.json"
    record.write_text("{}")
    start = datetime.datetime(2030, 1, 31, 12, 0, number, tzinfo=datetime.UTC)
    end = start.timestamp() + seconds
    os.utime(record, (0, end))
    return ended(flow, number, state, start_time=start, attempt_ended=end, **entries)


@pytest.fixture
def flow(workflow) -> Flow:
    flow = workflow(studies=("add", "mult"))
    make_runs(
        flow,
        executed(flow, 1, 1.0, "FINISHED", energy=1.5),
        executed(flow, 2, 2.0, "FINISHED", energy=2.5, note=EVIL, dependencies=["add.1"]),
        executed(flow, 3, 5.0, "FAILED", failure_reason=f"no licence {EVIL}"),
        executed(flow, 4, 0.0, "FORWARDED"),
    )
    make_runs(flow, {"state": "CREATED"}, study="add")
    (run_directory(flow, 3) / "test.e3").write_text(f"lost the licence {EVIL}\n")
    return flow


def report(flow, *arguments):
    done = flow.motoko("report", "-o", "page.html", *arguments)
    assert done.returncode == 0, done.stderr
    return (flow.directory / "page.html").read_text()


def test_what_it_tells(flow):
    flow.supervise("--no-launchers")
    page = report(flow)
    assert "The workflow is supervised" in page
    for told in (
        "no licence",
        "lost the licence",
        "1 run: ",
        "mult.3",
        "1, 2, 3, 4",
        "1.5, 2.5",
        "1 FORWARDED",
    ):
        assert told in page, told
    assert EVIL not in page
    assert "&lt;script&gt;alert('x')" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert 'alt="mult: energy over x"' in page
    assert "Study add" in page
    # It says what it cannot know.
    assert flow.motoko("kill").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in flow.directory.glob("*/.bd/*")}
    assert "No supervisor: the last state" in report(flow, "--bd_study", "mult")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    (flow.directory / "add" / ".bd").rename(flow.directory / "add" / "gone")
    assert "Study add is not in this report: it has no database yet" in report(flow)


def test_two_runs_compared(flow):
    done = flow.motoko("diff", "mult.1", "mult.3")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    for line in (["parameter", "x", "1.0", "3.0"], ["result", "energy", "1.5", "-"]):
        assert line in lines
    assert ["execution", "took", "1.00s", "5.00s"] in lines
    assert "do not differ" in flow.motoko("diff", "mult.2", "mult.2").stdout
    assert flow.motoko("diff", "mult.2", "mult.9").returncode == 2


def test_what_is_asked_for(flow):
    file = flow.directory / "motoko.yaml"
    plain = file.read_text()
    file.write_text(f"{plain}report: {{title: My work, plots: [{{study: mult, x: x, y: spin}}]}}\n")
    page = report(flow)
    assert "<h1>My work</h1>" in page
    assert "no run has a 'spin'" in page
    for wrong, told in (
        ("plots: [{study: non, x: x, y: x}]", "there is no study 'non'"),
        ("plots: {study: mult}", "report.plots"),
        ("plots: [{study: mult, x: x}]", "y"),
    ):
        file.write_text(f"{plain}report: {{{wrong}}}\n")
        done = flow.motoko("report")
        assert done.returncode == 2, done.stderr
        assert told in done.stderr
        assert not (flow.directory / "report.html").exists()
    file.write_text(plain)
