"""``motoko table``: what runs were given and what they carry, with servers up or down."""

import csv
import io
import json
import os
import shutil
import subprocess

import pytest
from mirrors import check, path_of
from support import kill9, motoko_command
from watching import Other

ROWS = [
    {"energy": 1.5, "state": "FINISHED", "note": "a, 'b' \"c\"\n"},
    {"energy": -2, "state": "FINISHED", "is_done": True, "list": [1, 2]},
    {"state": "FAILED", "long": "x" * 5_000},
]


@pytest.fixture
def flow(workflow):
    flow = workflow(studies=("mult",))
    flow.supervise("--no-launchers")
    other = Other(flow)
    for number, entries in zip(other.create("mult", [3.0, 1.0, 2.0]), ROWS, strict=True):
        other.play("mult", [number], entries)
    other.close()
    check(flow)
    return flow


def table(flow, *arguments, code=0):
    done = flow.motoko("table", "mult", *arguments)
    assert done.returncode == code, done.stderr
    return done


def as_json(flow, *arguments):
    return json.loads(table(flow, "--format", "json", *arguments).stdout)


FIRST = {
    "id": 1,
    "state": "FINISHED",
    "run_name": "other",
    "x": 3.0,
    "energy": 1.5,
    "note": "a, 'b' \"c\"\n",
    "is_done": None,
    "list": None,
    "long": None,
}


def test_formats(flow):
    rows = as_json(flow)
    assert {name: rows[0].get(name) for name in FIRST} == FIRST
    assert list(rows[0])[:3] == ["id", "state", "run_name"]
    assert rows[1]["energy"] == -2 and rows[1]["is_done"] is True and rows[1]["list"] == [1, 2]
    assert rows[2]["long"] == "<str of 5,000>"
    lines = table(flow, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    read = list(csv.DictReader(io.StringIO(table(flow, "--format", "csv").stdout)))
    assert read[0]["note"] == FIRST["note"] and read[0]["energy"] == "1.5"
    assert read[0]["list"] == "" and read[1]["list"] == "[1, 2]"
    shown = table(flow).stdout
    assert shown.splitlines()[0].split()[:3] == ["id", "state", "run_name"]
    assert "a, 'b' \"c\" " in shown


def test_choosing(flow):
    assert [row["id"] for row in as_json(flow, "--sort", "x")] == [2, 3, 1]
    assert [row["id"] for row in as_json(flow, "--sort", "-energy")] == [1, 2, 3]
    assert [row["id"] for row in as_json(flow, "--sort", "-jobs.x", "--limit", "1")] == [1]
    rows = as_json(flow, "--columns", "energy,x,id", "--constraints", "state = FINISHED, x < 3")
    assert rows == [{"energy": -2, "x": 1.0, "id": 2}]
    assert as_json(flow, "--run_name", "another") == []
    assert as_json(flow, "--constraints", "energy > 100", "--columns", "id") == []
    assert "energi" in table(flow, "--columns", "energi", code=2).stderr
    assert "energy" in table(flow, "--columns", "energi", code=2).stderr
    assert "too large" in table(flow, "--constraints", "long ~ x", code=2).stderr
    assert table(flow, "--constraints", "x <", code=2).stdout == ""


def test_files(flow):
    rows = as_json(flow)
    for name in ("out.json", "out.csv", "out.jsonl"):
        table(flow, "-o", name)
        assert (flow.directory / name).stat().st_size > 100
    assert json.loads((flow.directory / "out.json").read_text()) == rows
    assert "--format" in table(flow, "-o", "out.xyz", code=2).stderr
    assert not (flow.directory / "out.xyz").exists()
    assert not list(flow.directory.glob(".out*"))


def test_with_servers_up_and_down(flow):
    """And without a watcher, and without a mirror: the same rows, of the same transaction."""
    rows = as_json(flow)
    before = table(flow).stderr
    assert "as of transaction" in before and "mirror" not in before
    assert flow.motoko("kill").returncode == 0
    assert as_json(flow) == rows
    assert table(flow).stderr == before
    path = path_of(flow)
    kept = shutil.copytree(path.parent, flow.directory / "kept")
    for damage in (
        lambda: path.with_suffix(".digest").unlink(),
        lambda: path.write_bytes(path.read_bytes()[:-1] + b"?"),
        lambda: shutil.rmtree(path.parent),
    ):
        damage()
        assert as_json(flow) == rows
        error = table(flow).stderr
        assert error.endswith(before) and error.count("its mirror cannot tell all of this") == 1
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(kept, path.parent)


def test_what_the_mirror_does_not_know(flow):
    """What was committed while no watcher was there."""
    other = Other(flow)
    assert flow.motoko("stop", "watcher").returncode == 0
    other.play("mult", [1], {"energy": 7.5, "new": 1})
    (number,) = other.create("mult", [9.0])
    other.delete("mult", [3])
    rows = {row["id"]: row for row in as_json(flow)}
    assert set(rows) == {1, 2, number} and rows[1]["energy"] == 7.5 and rows[number]["x"] == 9.0
    kill9(flow.pids()["zeo:mult"])
    assert {row["id"]: row for row in as_json(flow)} == rows
    other.close()


def test_a_broken_pipe(flow):
    process = subprocess.Popen(
        motoko_command("table", "mult", "--format", "csv"),
        cwd=flow.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(process.stdout.fileno())
    error = process.stderr.read().decode()
    process.wait(30)
    assert "Traceback" not in error and "Broken pipe" not in error
