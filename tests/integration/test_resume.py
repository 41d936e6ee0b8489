"""An orchestrator that is started again goes on: finished, running, failed and missing runs."""

import re

import pytest
from runs import release, runs_of, started, states, with_waiting_runs
from support import kill9, wait_until

ORCHESTRATOR = """\
from pathlib import Path

async def main(workflow, **params):
    def act(workflow, runs, **params):
        with open("fired", "a") as file:
            file.write("fired\\n")

    workflow.add_action("still", task="one", event="state = FINISHED", f=act)
    first = await workflow.one.createTask(x=[1.0, 2.0])
    second = await workflow.two.createTask(x=[3.0, 4.0], after=first)
    assert [run.dependencies for run, job in second] == [["one.1", "one.2"]] * 2
    print("values", [run.y for run, job in [*first, *second]])
    workflow.finished = True
"""
ARGUMENTS = ("orchestrator", "start", "--run_name", "a")
VALUES = "values [2.0, 4.0, 6.0, 8.0]\n"


@pytest.fixture
def flow(workflow):
    """Two studies; the runs of `two` wait until they are released."""
    flow = workflow(studies=("one", "two"))
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    with_waiting_runs(flow, "two")
    flow.supervise()
    return flow


def killed_while_it_waits(flow):
    process = flow.begin(*ARGUMENTS)
    wait_until(lambda: len(started(flow, "two")) == 2, "the second ones are started")
    kill9(process.pid)
    process.wait()


def test_finished_running_and_missing(flow):
    killed_while_it_waits(flow)
    fired = (flow.directory / "fired").read_text()
    again = flow.begin(*ARGUMENTS)
    # What still holds fires again, and what runs is awaited.
    wait_until(lambda: (flow.directory / "fired").read_text() != fired, "it fires again")
    assert again.poll() is None
    release(flow, "two")
    said, _ = again.communicate(timeout=30)
    assert again.returncode == 0 and VALUES in said
    done = flow.motoko(*ARGUMENTS)
    assert done.returncode == 0 and done.stdout == VALUES
    for study in flow.studies:
        runs = runs_of(flow, study)
        assert [run["attempt"] for run in runs.values()] == [1, 1]
        assert {run["state"] for run in runs.values()} == {"FINISHED"}
    assert len(started(flow, "two")) == 2


def test_failed(flow):
    script = flow.directory / "two" / "launch.sh"
    script.write_text("echo what is wrong >&2; exit 3\n")
    done = flow.motoko(*ARGUMENTS)
    assert done.returncode == 1
    # At once, and it is not executed again by itself.
    done = flow.motoko(*ARGUMENTS)
    assert done.returncode == 1 and "what is wrong" in done.stderr
    assert re.search(r"hint: .*motoko retry two\.\d", done.stderr)
    wait_until(lambda: set(states(flow, "two").values()) == {"FAILED"}, "both have failed")
    assert all(run["attempt"] == 1 for run in runs_of(flow, "two").values())
    assert flow.motoko(*ARGUMENTS, "--fresh").returncode == 1
    done = flow.motoko(*ARGUMENTS, "--retry-failed")
    assert done.returncode == 1 and "two.1: CREATED again, attempt 2" in done.stdout


@pytest.mark.parametrize("detach", [False, True])
def test_daemons_are_replaced_meanwhile(flow, detach):
    """Supervisor, bus, watcher and servers are killed: the orchestrator goes on, and says it."""
    if detach:
        assert flow.motoko(*ARGUMENTS, "--detach").returncode == 0
    else:
        process = flow.begin(*ARGUMENTS)
    wait_until(lambda: len(started(flow, "two")) == 2, "the second ones are started")
    (who,) = flow.ps()["orchestrators"]
    supervisor = flow.ps()["supervisor"]["pid"]
    kill9(supervisor)
    wait_until(lambda: flow.state() == "not running", "the supervisor is dead")
    flow.supervise()
    for name in ("bus", "watcher"):
        before = flow.pids()[name]
        kill9(before)
        wait_until(lambda n=name, b=before: flow.pids().get(n, b) != b, f"{name} is back")
    wait_until(lambda: flow.state() == "ready", "all are back")
    wait_until(lambda: [o["pid"] for o in flow.ps()["orchestrators"]] == [who["pid"]], "it goes on")
    release(flow, "two")
    if detach:
        wait_until(lambda: VALUES in flow.log("orchestrator:a"), "it has got them")
        wait_until(lambda: not flow.ps()["orchestrators"], "it has ended")
        said = flow.log("orchestrator:a")
    else:
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0 and VALUES in said
    assert "the supervisor has died: going on" in said and "Traceback" not in said
