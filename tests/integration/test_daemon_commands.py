"""`motoko start`, `stop` and `restart` with real daemons and runs."""

import json
import os
import signal
import time

import pytest
from support import Flow, kill9, run_script, supervised, wait_until, write_workflow

from motoko.config import load
from motoko.operations import starting

STUDIES = ("add", "mult")
ALL = {"zeo:add", "zeo:mult", "bus", "watcher", "launcher:add", "launcher:mult"}
# A run that goes on until it is told to end, and counts how often it was started.
WAIT = """\
echo started >> "{directory}/started"
python doIt.py begin
until [ -e "{directory}/go" ]; do sleep 0.05; done
python doIt.py
"""
DO_IT = """\
import sys
import BlackDynamite as BD

run, job = BD.getRunFromScript()
if sys.argv[1:]:
    run.start()
else:
    run["y"] = job.x * 2
    run.finish()
"""
CREATE = """\
async def main(workflow, **params):
    workflow.mult.createTask(x=2.0)
    workflow.finished = True
"""


@pytest.fixture
def two(workflow) -> Flow:
    """A workflow of two studies that nobody supervises."""
    return workflow(studies=STUDIES)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same, supervised: tests that leave all daemons ready share it."""
    place = tmp_path_factory.mktemp("daemons")
    yield from supervised(place, write_workflow(place / "wf", STUDIES))


@pytest.fixture
def running(workflow) -> Flow:
    """One study with a run that waits for a file ``go``."""
    flow = workflow()
    (flow.directory / "mult" / "launch.sh").write_text(WAIT.format(directory=flow.directory))
    (flow.directory / "mult" / "doIt.py").write_text(DO_IT)
    (flow.directory / "orchestrator.py").write_text(CREATE)
    flow.supervise()
    done = flow.motoko("orchestrator", "start", "--run_name", "first")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: info(flow) == {"START": 1}, "the run has begun")
    return flow


def info(flow):
    """How many runs are in which state."""
    code = (
        "import json\n"
        "from collections import Counter\n"
        "from motoko import Workflow\n"
        "workflow = Workflow('.')\n"
        "runs = workflow.mult.select([])\n"
        "print(json.dumps(Counter(run.state for run, job in runs)))\n"
    )
    done = run_script(code, cwd=flow.directory)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def starts(flow):
    """How often the run was started."""
    return (flow.directory / "started").read_text().splitlines()


class TestRestart:
    def test_one(self, shared):
        for name in sorted(ALL):
            before, restarts = shared.pids(), shared.daemons()[name]["restarts"]
            done = shared.motoko("restart", name)
            assert done.returncode == 0, done.stderr
            daemons = shared.daemons()
            assert done.stdout == f"restarted {name} (pid {daemons[name]['pid']})\n"
            assert daemons[name]["state"] == "ready" and daemons[name]["pid"] != before[name]
            assert daemons[name]["restarts"] == restarts + 1
            assert daemons[name]["last_exit"] == "restarted by request"
            others = {n: d["pid"] for n, d in daemons.items() if n != name}
            assert others == {n: p for n, p in before.items() if n != name}

    def test_several_in_the_order_of_need(self, shared):
        past = shared.daemons()
        before = {name: daemon["pid"] for name, daemon in past.items()}
        done = shared.motoko("restart", "zeo:mult", "launcher:mult", "bus", "watcher", "bus")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("restarted ") == 4
        daemons = shared.daemons()
        changed = {n for n, d in daemons.items() if d["pid"] != before[n]}
        assert changed == {"zeo:mult", "launcher:mult", "bus", "watcher"}
        # Each has ended once: nobody was started before what it needs was there again.
        assert {daemons[name]["restarts"] - past[name]["restarts"] for name in changed} == {1}
        lines = [line.split(" ", 3)[3] for line in shared.log("supervisor").splitlines()]
        ready = f"launcher:mult ready pid={daemons['launcher:mult']['pid']}"
        assert lines.index(ready) > lines.index(f"zeo:mult ready pid={daemons['zeo:mult']['pid']}")
        assert lines.index(ready) > lines.index(f"watcher ready pid={daemons['watcher']['pid']}")

    def test_one_that_was_stopped_is_started(self, shared):
        restarts = shared.daemons()["launcher:mult"]["restarts"]
        assert shared.motoko("stop", "launcher:mult").returncode == 0
        done = shared.motoko("restart", "launcher:mult")
        assert done.returncode == 0 and done.stdout.startswith("started launcher:mult (pid ")
        assert shared.daemons()["launcher:mult"]["restarts"] == restarts

    def test_one_that_does_not_end_is_killed(self, two):
        text = two.path.read_text()
        two.path.write_text(f"{text}supervisor:\n  stop_timeout: 1\n")
        two.supervise()
        before = two.pids()["watcher"]
        os.kill(before, signal.SIGSTOP)
        done = two.motoko("restart", "watcher")
        assert done.returncode == 0 and two.pids()["watcher"] != before
        assert "watcher does not end, killing it" in two.log("supervisor")

    def test_one_that_cannot_start_any_more(self, two):
        text = two.path.read_text()
        two.path.write_text(f"{text}supervisor:\n  attempts: 2\n  backoff_min: 0.1\n")
        two.supervise()
        assert two.motoko("stop", "launcher:mult").returncode == 0
        database = two.directory / "mult" / ".bd" / "bd.zeo"
        good = database.read_bytes()
        assert two.motoko("stop", "zeo:mult").returncode == 0
        database.write_bytes(b"this is no database at all")
        done = two.motoko("restart", "zeo:mult", "bus")
        assert done.returncode == 1
        assert "error: zeo:mult has failed (exited with 1); the end of" in done.stderr
        assert two.log("zeo:mult").splitlines()[-1] in done.stderr and "hint: " in done.stderr
        daemon = two.daemons()["zeo:mult"]
        assert daemon["restarts"] == 2  # as often as it has died
        # It is waited for again when it is asked for again.
        database.write_bytes(good)
        assert two.motoko("restart", "zeo:mult").returncode == 0
        assert two.daemons()["zeo:mult"]["state"] == "ready"


class TestStop:
    def test_stop_and_start(self, shared):
        before = shared.pids()
        done = shared.motoko("stop", "launcher:mult", "zeo:mult")
        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            f"stopped launcher:mult (pid {before['launcher:mult']})\n"
            f"stopped zeo:mult (pid {before['zeo:mult']})\n"
        )
        daemons = shared.daemons()
        for name in ("launcher:mult", "zeo:mult"):
            assert (daemons[name]["state"], daemons[name]["pid"]) == ("stopped", None)
            assert daemons[name]["last_exit"] == "stopped by request"
        assert shared.motoko("ps").returncode == 1
        again = shared.motoko("stop", "zeo:mult")
        assert (again.returncode, again.stdout) == (0, "zeo:mult was not running\n")
        # A launcher is of no use without its server.
        done = shared.motoko("start", "launcher:mult")
        assert done.returncode == 0, done.stderr
        after = shared.pids()
        assert done.stdout == f"started launcher:mult (pid {after['launcher:mult']})\n"
        assert set(after) == ALL and shared.state() == "ready"
        done = shared.motoko("start", "launcher:mult")
        assert done.stdout == f"launcher:mult was running already (pid {after['launcher:mult']})\n"
        assert shared.pids() == after

    def test_supervise_starts_it_again(self, shared):
        for options in ([], ["--detach"]):
            assert shared.motoko("stop", "watcher", "launcher:add", "zeo:add").returncode == 0
            done = shared.motoko("supervise", *options)
            assert done.returncode == 0, done.stderr
            for name in ("watcher", "launcher:add", "zeo:add"):
                assert f"starting {name}\n" in done.stdout
            assert set(shared.pids()) == ALL and shared.state() == "ready"

    def test_nobody_waits_for_what_was_stopped(self, shared):
        assert shared.motoko("stop", "launcher:add", "zeo:add").returncode == 0
        config = load(shared.path)
        began = time.monotonic()
        status = starting.wait_until_ready(config, began + 30)
        assert status.supervisor.state == "degraded"
        assert time.monotonic() - began < 10
        done = shared.motoko("launcher", "--bd_study", "mult")
        assert done.returncode == 0, done.stderr
        assert shared.motoko("start", "launcher:add").returncode == 0

    def test_a_launcher_can_be_added_by_name(self, two):
        two.supervise("--no-launchers")
        assert two.motoko("stop", "launcher:add").stdout == "launcher:add was not running\n"
        done = two.motoko("start", "launcher:add")
        assert done.returncode == 0, done.stderr
        assert set(two.pids()) == ALL - {"launcher:mult"}

    def test_a_new_supervisor_starts_all(self, shared):
        assert shared.motoko("stop", "watcher").returncode == 0
        kill9(shared.ps()["supervisor"]["pid"])
        wait_until(lambda: shared.motoko("ps").returncode == 3, "the supervisor is dead")
        shared.supervise()
        assert set(shared.pids()) == ALL

    def test_runs_go_on(self, running):
        """When their launcher is restarted, and when it is stopped."""
        before = running.pids()
        assert running.motoko("restart", "launcher:mult", "bus", "watcher").returncode == 0
        wait_until(
            lambda: running.daemons()["launcher:mult"]["counts"]["running"] == 1, "it is adopted"
        )
        assert running.pids()["launcher:mult"] != before["launcher:mult"]
        assert running.motoko("stop", "launcher:mult").returncode == 0
        (running.directory / "go").touch()
        wait_until(lambda: info(running) == {"FINISHED": 1}, "the run has finished")
        assert running.motoko("start", "launcher:mult").returncode == 0
        assert info(running) == {"FINISHED": 1} and starts(running) == ["started"]

    def test_a_run_that_ended_meanwhile_is_known_later(self, running):
        assert running.motoko("stop", "launcher:mult").returncode == 0
        (running.directory / "mult" / "doIt.py").write_text("")
        runs = list((running.directory / "mult" / "BD-mult-runs").glob("run-*"))
        for run in runs:
            (run / "doIt.py").write_text("raise SystemExit(7)\n")
        (running.directory / "go").touch()
        wait_until(lambda: (runs[0] / ".motoko" / "exit-1.json").exists(), "the run has ended")
        assert info(running) == {"START": 1}
        assert running.motoko("start", "launcher:mult").returncode == 0
        wait_until(lambda: info(running) == {"FAILED": 1}, "its end is recorded")


class TestWrongUse:
    def test_nothing_is_done(self, shared):
        """For unknown names, inside a run, or by a supervisor that is asked for half of it."""
        before = shared.pids()
        for command in ("start", "stop", "restart"):
            done = shared.motoko(command, "bus", "launcher:mul", "supervisor")
            assert done.returncode == 2
            assert "there is no daemon 'launcher:mul' in" in done.stderr
            daemons = "zeo:add, zeo:mult, bus, watcher, gate, launcher:add, launcher:mult\n"
            assert f"hint: the daemons are: {daemons}" in done.stderr
            assert shared.pids() == before  # nothing was done to the bus
        for command in ("start", "restart"):
            done = shared.motoko(command, "bus", BLACKDYNAMITE_RUN_ID="1")
            assert done.returncode == 3 and "a run starts no daemons" in done.stderr
            assert shared.pids() == before
        for command in ("start_daemons", "stop_daemons", "restart_daemons"):
            for names in (None, "bus", ["bus", 3], ["bus", "nobody"]):
                assert set(shared.ask(command, names=names)) == {"error"}
        assert shared.pids() == before

    @pytest.mark.parametrize("command", ["start", "stop", "restart"])
    def test_no_names(self, two, command):
        done = two.motoko(command)
        assert done.returncode == 2 and "no daemon is named; there are: zeo:add" in done.stderr
        assert "hint: `motoko " in done.stderr

    @pytest.mark.parametrize("command", ["start", "stop", "restart"])
    def test_no_supervisor(self, two, command):
        done = two.motoko(command, "bus")
        assert done.returncode == 3 and "has no supervisor" in done.stderr
        assert "hint: start all: motoko supervise --detach" in done.stderr
        assert not (two.directory / ".wf").exists()

    def test_frozen_supervisor(self, shared):
        pid = shared.ps()["supervisor"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            done = shared.motoko("restart", "bus")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert done.returncode == 1 and f"(pid {pid}) does not answer" in done.stderr
