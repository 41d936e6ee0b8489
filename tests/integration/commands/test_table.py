"""``motoko table``: what runs were given and what they carry, with servers up or down."""

import csv
import io
import json
import os
import shutil
import subprocess

import pytest
import transaction
from mirrors import check, path_of
from runs import make_runs, study_base
from support import kill9, motoko_command, supervised, write_workflow
from watching import Other

ROWS = [
    {"energy": 1.5, "state": "FINISHED", "note": "a, 'b' \"c\"\n"},
    {"energy": -2, "state": "FINISHED", "is_done": True, "list": [1, 2]},
    {"state": "FAILED", "long": "x" * 5_000},
]


def filled(flow):
    """The rows are there, also in the mirror."""
    other = Other(flow)
    for number, entries in zip(other.create("mult", [3.0, 1.0, 2.0]), ROWS, strict=True):
        other.play("mult", [number], entries)
    other.close()
    check(flow)
    return flow


@pytest.fixture
def flow(workflow):
    flow = workflow(studies=("mult",))
    flow.supervise("--no-launchers")
    return filled(flow)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same, for tests that only look."""
    place = tmp_path_factory.mktemp("table")
    for flow in supervised(place, write_workflow(place / "wf"), "--no-launchers"):
        yield filled(flow)


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


def test_formats(shared):
    rows = as_json(shared)
    assert {name: rows[0].get(name) for name in FIRST} == FIRST
    assert list(rows[0])[:3] == ["id", "state", "run_name"]
    assert rows[1]["energy"] == -2 and rows[1]["is_done"] is True and rows[1]["list"] == [1, 2]
    assert rows[2]["long"] == "<str of 5,000>"
    lines = table(shared, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    read = list(csv.DictReader(io.StringIO(table(shared, "--format", "csv").stdout)))
    assert read[0]["note"] == FIRST["note"] and read[0]["energy"] == "1.5"
    assert read[0]["list"] == "" and read[1]["list"] == "[1, 2]"
    shown = table(shared).stdout
    assert shown.splitlines()[0].split()[:3] == ["id", "state", "run_name"]
    assert "a, 'b' \"c\"" in shown


def test_choosing(shared):
    assert [row["id"] for row in as_json(shared, "--sort", "x")] == [2, 3, 1]
    assert [row["id"] for row in as_json(shared, "--sort", "-energy")] == [1, 2, 3]
    assert [row["id"] for row in as_json(shared, "--sort", "-jobs.x", "--limit", "1")] == [1]
    rows = as_json(shared, "--columns", "energy,x,id", "--constraints", "state = FINISHED, x < 3")
    assert rows == [{"energy": -2, "x": 1.0, "id": 2}]
    assert as_json(shared, "--run_name", "another") == []
    assert as_json(shared, "--constraints", "energy > 100", "--columns", "id") == []
    assert "energi" in table(shared, "--columns", "energi", code=2).stderr
    assert "energy" in table(shared, "--columns", "energi", code=2).stderr
    assert "too large" in table(shared, "--constraints", "long ~ x", code=2).stderr
    assert "did you mean 'energy'" in table(shared, "--constraints", "energi > 1", code=2).stderr
    assert len(as_json(shared, "--constraints", "energi != 1")) == 3
    assert table(shared, "--constraints", "x <", code=2).stdout == ""


def test_files(shared):
    rows = as_json(shared)
    for name in ("out.json", "out.csv", "out.jsonl"):
        table(shared, "-o", name)
        assert (shared.directory / name).stat().st_size > 100
    assert json.loads((shared.directory / "out.json").read_text()) == rows
    assert "--format" in table(shared, "-o", "out.xyz", code=2).stderr
    assert not (shared.directory / "out.xyz").exists()
    assert not list(shared.directory.glob(".out*"))


def test_with_servers_up_and_down(flow):
    """With and without servers, watcher and mirror: the same rows, of the same transaction."""
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
    """Commits that no watcher has seen are in the table."""
    other = Other(flow)
    assert flow.motoko("stop", "watcher").returncode == 0
    other.play("mult", [1], {"energy": 7.5, "new": 1})
    (number,) = other.create("mult", [9.0])
    other.delete("mult", [3])
    rows = {row["id"]: row for row in as_json(flow)}
    assert set(rows) == {1, 2, number} and rows[1]["energy"] == 7.5 and rows[number]["x"] == 9.0
    kill9(flow.pids()["zeo:mult"])
    assert {row["id"]: row for row in as_json(flow)} == rows
    for constraints, left in (("energy = 1.5", {1, 2, number}), ("new = 1", {2, number})):
        assert flow.motoko("clean", "--delete", "--constraints", constraints).returncode == 0
        assert {row["id"] for row in as_json(flow)} == left
    refused = flow.motoko("clean", "--delete", "--constraints", "newer = 1")
    assert refused.returncode == 2 and "no run has 'newer'" in refused.stderr
    other.close()


@pytest.fixture
def quiet(workflow):
    """A workflow without a supervisor."""
    return workflow(studies=("mult",))


def test_earlier_states(quiet):
    """--at shows each earlier table again, until the database is packed."""
    seen = {}

    def look():
        tid = table(quiet).stderr.split()[-1]
        seen[tid] = as_json(quiet)

    make_runs(quiet, *({"energy": float(n)} for n in range(40)))
    look()
    with study_base(quiet) as base:
        base.runs.entries[3].entries["energy"] = "text"
        base.runs.entries[4].entries["new"] = 1
        transaction.commit()
        look()
        del base.runs.entries[5]
        del base.runs.entries[6].entries["energy"]
        transaction.commit()
        look()
    make_runs(quiet, {"state": "FAILED"})
    look()
    assert len(seen) == 4
    for tid, rows in seen.items():
        assert as_json(quiet, "--at", tid) == rows
        assert table(quiet, "--at", tid).stderr.split()[-1] == tid
    *_, before, last = seen
    between = f"{int(last, 16) - 1:016x}"
    assert as_json(quiet, "--at", between) == seen[before]
    assert table(quiet, "--at", between).stderr.split()[-1] == before
    chosen = as_json(quiet, "--at", before, "--constraints", "new = 1", "--columns", "id")
    assert chosen == [{"id": 4}]
    assert "still to come" in table(quiet, "--at", "2999-12-31 09:00", code=2).stderr
    assert "begins after" in table(quiet, "--at", "1999-12-31", code=2).stderr
    for wrong in ("yesterday", last[1:], "12:00"):
        assert "neither a transaction nor a time" in table(quiet, "--at", wrong, code=2).stderr
    with study_base(quiet) as base:
        base.db.pack()
    assert "packed" in table(quiet, "--at", before, code=2).stderr
    assert as_json(quiet, "--at", last) == seen[last]


def test_quantities(quiet):
    """Quantities that BlackDynamite's methods wrote are found, also after a move."""
    directory = quiet.directory / "mult" / "BD-mult-runs"
    paths = [directory / f"run-{number}" for number in (1, 2, 3, 4)]
    make_runs(quiet, *({"run_path": str(path)} for path in paths))
    assert as_json(quiet, "--quantity", "ekin") == []
    with study_base(quiet) as base:
        for number, path in enumerate(paths, 1):
            path.mkdir(parents=True)
            run = base.runs.entries[number]
            if number < 4:
                for step in range(3):
                    run.pushQuantity(step * number, step, "ekin")
        base.runs.entries[1].pushVectorQuantity([1.5, -2.0], 7, "force")
        base.runs.entries[1].pushQuantity("gas, hot", 0, "phase")
        transaction.commit()
    with (paths[0] / "ekin.csv").open("a") as file:
        file.write("3,1.0")  # is being written
    (paths[3] / "ekin.csv").write_text((paths[0] / "ekin.csv").read_text())  # nobody's quantity
    rows = as_json(quiet, "--quantity", "ekin", "--columns", "x,id,state")
    assert [(row["run"], row["step"], row["value"]) for row in rows] == [
        (number, step, step * number) for number in (1, 2, 3) for step in range(3)
    ]
    assert rows[3] == {
        **{"run": 2, "step": 0, "component": None, "value": 0},
        **{"x": 2.0, "id": 2, "state": "CREATED"},
    }
    vector = as_json(quiet, "--quantity", "force")
    assert [[*row.values()] for row in vector] == [[1, 7, 0, 1.5], [1, 7, 1, -2.0]]
    assert as_json(quiet, "--quantity", "phase")[0]["value"] == "gas, hot"
    some = ("--quantity", "ekin", "--sort", "-x", "--constraints", "x > 1", "--limit", "4")
    assert [row["run"] for row in as_json(quiet, *some)] == [3, 3, 3, 2]
    lines = table(quiet, "--quantity", "ekin", "--format", "csv").stdout.splitlines()
    assert lines[:2] == ["run,step,component,value", "1,0,,0"] and len(lines) == 10
    wrong = table(quiet, "--quantity", "ekim", "--format", "csv", code=2)
    assert "did you mean 'ekin'" in wrong.stderr and wrong.stdout == ""
    assert "no earlier state" in table(quiet, "--quantity", "ekin", "--at", "2020", code=2).stderr
    shutil.rmtree(paths[1])
    gone = table(quiet, "--quantity", "ekin", "--format", "csv")
    assert len(gone.stdout.splitlines()) == 7 and "are gone: mult.2" in gone.stderr


def test_a_broken_pipe(shared):
    process = subprocess.Popen(
        motoko_command("table", "mult", "--format", "csv"),
        cwd=shared.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(process.stdout.fileno())
    error = process.stderr.read().decode()
    process.wait(30)
    assert "Traceback" not in error and "Broken pipe" not in error
