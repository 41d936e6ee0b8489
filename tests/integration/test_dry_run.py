"""``motoko run --dry-run``: what would be created is told, and nothing is changed."""

import hashlib

import pytest
from support import wait_until

from motoko.api import rehearsal
from motoko.config import load

ORCHESTRATOR = """\
async def follow(runs, workflow, **params):
    for run, job in runs:
        await workflow.add.createTask(x=run.y)
        run["state"] = "FOLLOWED"


async def main(workflow, **params):
    workflow.add_action("follow", task="mult", event="state = FINISHED", f=follow)
    pairs = await workflow.mult.createTask(x=[1.0, 2.0, 3.0])
    await workflow.mult.select().all("state = FOLLOWED")
    workflow.vars.seen = [run.y for run, job in pairs]
    print("seen", workflow.vars.seen)
    workflow.finished = True
"""
STUB = "def results(job, run):\n    return {'y': job.x * 100}\n"
NOBODY = """\
async def main(workflow, **params):
    await workflow.mult.createTask(x=1.0)
    await workflow.mult.select("state = POLISHED")
"""


def hashes(flow):
    """Of all files but those that daemons write as long as they live."""
    return {
        str(path.relative_to(flow.directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(flow.directory.rglob("*"))
        if path.is_file() and not {"log", "mirror", "__pycache__"} & {*path.parts}
    }


@pytest.fixture
def flow(workflow):
    flow = workflow(studies=("mult", "add"))
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    launch = "# x is __BLACKDYNAMITE__x__\npython doIt.py\n"
    (flow.directory / "mult" / "launch.sh").write_text(launch)
    for study in flow.studies:
        (flow.directory / study / "stub.py").write_text(STUB)
    return flow


def test_on_empty_databases(flow):
    before = hashes(flow)
    done = flow.motoko("run", "--dry-run", "--run_name", "first")
    assert done.returncode == 0, done.stderr
    assert "seen [100.0, 200.0, 300.0]" in done.stdout
    assert "mult: 3 new runs\n" in done.stdout and "add: 3 new runs\n" in done.stdout
    assert "    # x is 1.0\n    python doIt.py\n" in done.stdout
    assert "supervisor" not in done.stderr
    assert hashes(flow) == before
    assert flow.motoko("ps").returncode == 3


def test_on_results_with_servers_up_and_down(flow):
    """Runs that exist are found; new ones have the results of those that were executed before."""
    text = ORCHESTRATOR.replace("[1.0, 2.0, 3.0]", "[1.0, 2.0]")
    (flow.directory / "orchestrator.py").write_text(text)
    flow.supervise()
    assert flow.motoko("orchestrator", "start", "--run_name", "first", "--quiet").returncode == 0
    # What comes after FINISHED: exit records, and what launchers note of them.
    records = "*/BD-*-runs/run-*/.motoko/exit-1.json"
    wait_until(lambda: len(list(flow.directory.glob(records))) == 4, "all attempts have ended")
    assert flow.motoko("stop", "launcher:mult", "launcher:add").returncode == 0
    for study in flow.studies:
        (flow.directory / study / "stub.py").unlink()
    for servers in ("up", "down"):
        if servers == "down":
            assert flow.motoko("kill").returncode == 0
        before = hashes(flow)
        again = flow.motoko("run", "--dry-run", "--run_name", "first")
        assert again.returncode == 0, again.stderr
        assert "mult: 0 new runs, 2 there already: mult.1, mult.2\n" in again.stdout
        other = flow.motoko("run", "--dry-run", "--run_name", "other")
        assert "seen [2.0, 4.0]" in other.stdout, other.stderr
        assert "mult: 2 new runs\n" in other.stdout and "launch.sh of mult.3:" in other.stdout
        assert hashes(flow) == before


def test_results_that_nobody_gives(flow):
    """The error names the study, the result, and the file that could give it."""
    for study in flow.studies:
        (flow.directory / study / "stub.py").unlink()
    for reads in (ORCHESTRATOR, ORCHESTRATOR.replace("run.y", "run['Y']")):
        (flow.directory / "orchestrator.py").write_text(reads)
        done = flow.motoko("run", "--dry-run")
        assert done.returncode == 1 and "run mult.1 has no" in done.stderr
        assert f'File "{flow.directory}/orchestrator.py", line ' in done.stderr
        assert "neither mult/stub.py nor an earlier run" in done.stderr
        assert 'def results(job, run): return {"y": ...}' in done.stderr


def test_a_study_that_another_workflow_serves(flow, workflow):
    """Its results are read, and runs are created in the copy only."""
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    flow.supervise()
    assert flow.motoko("orchestrator", "start", "--run_name", "first", "--quiet").returncode == 0
    guest = workflow("guest")
    host = f"host: zeo://{flow.directory}/mult"
    guest.path.write_text(guest.path.read_text().replace("mult:", f"mult:\n    {host}", 1))
    reads = """\
async def main(workflow, **params):
    print("there", len(workflow.mult.select("state = FOLLOWED")))
    runs = await workflow.mult.createTask(x=[1.0, 5.0])
    print("made", [run.id for run, job in runs])
"""
    (guest.directory / "orchestrator.py").write_text(reads)
    (guest.directory / "mult" / "stub.py").write_text(STUB)
    launch = (flow.directory / "mult" / "launch.sh").read_text()
    (guest.directory / "mult" / "launch.sh").write_text(launch)
    done = guest.motoko("run", "--dry-run", "--run_name", "first")
    assert done.returncode == 0, done.stderr
    assert "there 3\nmade [1, 4]\n" in done.stdout and "mult: 1 new run, 3 there" in done.stdout
    assert flow.motoko("table", "mult", "--format", "csv").stdout.count("\n") == 1 + 3


def test_what_only_a_run_could_bring_about(flow, monkeypatch):
    """A dry run that waits in vain ends, and says for what."""
    (flow.directory / "orchestrator.py").write_text(NOBODY)
    monkeypatch.setattr(rehearsal, "IDLE_S", 0.5)
    with rehearsal.rehearsed(load(flow.path)) as workflow:
        workflow.run_name = "first"
        with pytest.raises(rehearsal.NothingHappens, match="state = POLISHED"):
            workflow.execute()
        (mult,) = workflow.rehearsed.report()
        assert (mult.study, mult.new, mult.existing) == ("mult", [1], [])
    (flow.directory / "mult" / "stub.py").write_text("result = 1\n")
    done = flow.motoko("run", "--dry-run")
    assert done.returncode == 2 and "no function `results`" in done.stderr
