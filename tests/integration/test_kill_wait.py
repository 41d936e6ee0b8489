"""``motoko kill --wait``: what runs may end, and nothing else begins."""

import json
import signal
from functools import partial

import msgspec
import pytest
from support import wait_until

from motoko import Workflow
from motoko.config import load
from motoko.control.protocol import RequestRefused, Status, StatusRequest
from motoko.control.study_access import opened
from motoko.operations import draining
from motoko.operations.draining import LauncherPause

GATED = """\
touch started
while [ ! -e ../../../go ]; do sleep 0.05; done
python doIt.py
"""


@pytest.fixture
def flow(workflow):
    """Supervised, with one slot; runs wait for the file ``go``."""
    flow = workflow()
    with open(flow.path, "a") as file:
        file.write("slots: 1\n")
    (flow.directory / "mult" / "launch.sh").write_text(GATED)
    flow.supervise()
    made = Workflow(flow.path)
    made.run_name = "r"
    made.mult.createTask(x=[1.0, 2.0])
    made.close()
    wait_until(lambda: list(flow.directory.glob("mult/BD-*/run-1/started")), "the first runs")
    return flow


def states(flow):
    config = load(flow.path)
    with opened(config, config.studies["mult"], read_only=True) as base:
        return {run.entries["id"]: run.entries["state"] for run in base.all_runs()}


def paused(flow):
    counts = flow.daemons()["launcher:mult"]["counts"]
    return counts["paused"] == 1


def test_what_runs_ends_and_nothing_begins(flow):
    process = flow.begin("kill", "--wait")
    wait_until(lambda: paused(flow), "the launcher is paused")
    assert process.poll() is None
    (flow.directory / "go").touch()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, out
    assert "waiting for 1 run\n" in out and "stopped launcher:mult" in out
    assert states(flow) == {1: "FINISHED", 2: "CREATED"}


def test_interrupted_everything_goes_on(flow):
    process = flow.begin("kill", "--wait")
    wait_until(lambda: paused(flow), "the launcher is paused")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and "start runs again" in out, out
    (flow.directory / "go").touch()
    wait_until(lambda: states(flow) == {1: "FINISHED", 2: "FINISHED"}, "both have run")


def is_waiting(flow, process):
    """Wait until a ``kill --wait`` has paused the launcher: it says so."""
    assert process.poll() is None
    holders = {pause["holder"]["pid"] for pause in pauses(flow)}
    return process.pid in holders and paused(flow)


def pauses(flow):
    path = flow.directory / ".wf" / "paused.json"
    return json.loads(path.read_text()) if path.exists() else []


@pytest.mark.parametrize("more", [[], ["--cancel-jobs"]])
def test_two_at_once(flow, more):
    first, second = (flow.begin("kill", "--wait", *more) for _ in range(2))
    for process in (first, second):
        wait_until(partial(is_waiting, flow, process), "it waits")
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=30)
    assert first.returncode == 130 and "stay paused" in out, out
    assert paused(flow)
    (flow.directory / "go").touch()
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0, out
    assert states(flow) == {1: "FINISHED", 2: "CREATED"}
    assert not pauses(flow)


def test_killed_it_pauses_nothing_any_more(flow):
    process = flow.begin("kill", "--wait")
    wait_until(lambda: is_waiting(flow, process), "it waits")
    process.kill()
    process.wait()
    wait_until(lambda: not paused(flow), "the launcher starts runs again")
    assert not pauses(flow)


def test_with_a_supervisor_that_cannot_pause(flow, monkeypatch):
    asked = draining.client.ask

    def refuse(records, request, timeout=5.0):
        if isinstance(request, StatusRequest):
            return asked(records, request, timeout)
        raise RequestRefused("unknown command: pause_launchers")

    config = load(flow.path)
    pause = LauncherPause(config, None)
    monkeypatch.setattr(draining.client, "ask", refuse)
    wait_until(
        lambda: pause.hold(msgspec.convert(flow.ask("status"), Status)), "the launcher is paused"
    )
    assert paused(flow)
    monkeypatch.undo()
    assert pause.release()
    wait_until(lambda: not paused(flow), "the launcher starts runs again")


def test_a_launcher_that_comes_back_is_paused_too(flow):
    process = flow.begin("kill", "--wait")
    wait_until(lambda: paused(flow), "the launcher is paused")
    assert flow.motoko("restart", "launcher:mult").returncode == 0
    wait_until(lambda: paused(flow), "the next launcher is paused")
    (flow.directory / "go").touch()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, out
    assert states(flow)[1] == "FINISHED"


def test_nothing_runs(workflow):
    flow = workflow()
    done = flow.motoko("kill", "--wait")
    assert done.returncode == 0 and "nothing is running" in done.stdout


def test_now_and_wait_exclude_each_other(workflow):
    done = workflow(created=False).motoko("kill", "--wait", "--now")
    assert done.returncode == 2 and "choose one" in done.stderr
