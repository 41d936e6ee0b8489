"""``motoko explain``, of real runs in each situation."""

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
from runs import ended, make_runs, release, started, states, with_waiting_runs
from support import Flow, kill9, wait_until


@pytest.fixture
def flow(workflow) -> Flow:
    return workflow()


def explained(flow, run):
    """What ``--json`` says, which holds what the text says."""
    done = flow.motoko("explain", run)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = json.loads(flow.motoko("explain", run, "--json").stdout)
    for cause in found["causes"]:
        assert cause["code"] in ("no-slot", "retry") or f"- {cause['text']}\n" in done.stdout
    return found


def causes(flow, run):
    return [cause["code"] for cause in explained(flow, run)["causes"]]


def content(directory: Path):
    """Every file below a directory, without what living daemons write."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and "log" not in path.parts
    }


class TestWaiting:
    def test_for_daemons(self, flow):
        make_runs(flow, {}, {"machine_name": "elsewhere"})
        before = content(flow.directory)
        assert causes(flow, "mult.1") == ["no-supervisor"]
        assert causes(flow, "mult.2") == ["other-host"]
        assert content(flow.directory) == before  # it changes nothing
        flow.supervise("--no-launchers")
        found = explained(flow, "mult.1")
        assert [each["do"] for each in found["causes"]] == ["motoko launcher --bd_study mult"]
        assert flow.motoko("stop", "zeo:mult").returncode == 0
        assert "zeo-stopped" in causes(flow, "mult.1")
        assert flow.motoko("supervise").returncode == 0
        wait_until(lambda: states(flow)[1] == "FINISHED", "it is executed")
        wait_until(lambda: causes(flow, "mult.1") == [], "its processes have ended")

    def test_for_slots(self, workflow):
        flow = workflow(studies=("add", "mult"))
        with_waiting_runs(flow)
        flow.supervise("--slots", "2")
        make_runs(flow, {}, {}, {"nproc": 2}, {})
        wait_until(lambda: sorted(started(flow)) == [1, 2], "two are started")
        wait_until(lambda: flow.motoko("ps").returncode == 0, "all is ready")
        make_runs(flow, {}, study="add")
        found = explained(flow, "mult.4")
        assert [each["code"] for each in found["causes"]] == ["no-slot"]
        slots = found["slots"]
        assert (slots["count"], slots["free"], slots["before"]) == (2, 0, ["mult.3"])
        holders = {each["name"]: each["slots"] for each in slots["holders"]}
        assert holders == {"mult.1": 1, "mult.2": 1}
        assert all(abs(each["since"] - found["changed"]) < 60 for each in slots["holders"])
        wait_until(lambda: explained(flow, "add.1")["slots"]["queue"] == ["mult", "add"], "tickets")
        text = flow.motoko("explain", "add.1").stdout
        assert "it wants 1 slot, and 0 of 2 are free" in text and "mult.1 has 1 slot since" in text
        assert "before it in the queue for slots: launcher:mult" in text
        release(flow)
        wait_until(lambda: states(flow)[4] == "FINISHED", "all have ended")

    def test_for_its_retry(self, flow):
        (flow.directory / "mult" / "doIt.py").write_text("raise SystemExit('no convergence')\n")
        flow.path.write_text(flow.path.read_text() + "retries: 9\n")
        flow.supervise()
        make_runs(flow, {})
        # The later attempts are some seconds apart.
        found = wait_until(
            lambda: (one := explained(flow, "mult.1"))["attempt"] == 4 and one, "the 4th attempt"
        )
        assert found["status"] in ("waiting", "running")
        assert "no convergence" in found["last_failure"] and found["attempts_allowed"] == 10
        wait_until(lambda: causes(flow, "mult.1") == ["retry"], "it waits")

        def text():
            return flow.motoko("explain", "mult.1").stdout

        wait_until(lambda: "it is tried again at" in text(), "it waits for another attempt")
        assert "no convergence" in text()
        assert flow.motoko("cancel", "mult.1").returncode == 0
        found = explained(flow, "mult.1")
        assert found["failure_reason"].startswith("cancelled by ")
        assert any(path.endswith("test.e1.1") for path in found["outputs"])


class TestRunning:
    def test_and_ended(self, flow):
        (flow.directory / "mult" / "launch.sh").write_text(
            "echo $BLACKDYNAMITE_RUN_ID >> ../../started\necho step 7\n"
            "until [ -e ../../go ]; do sleep 0.05; done\necho 'a bad end' >&2\nexit 3\n"
        )
        flow.path.write_text(flow.path.read_text() + "timeout: 1h\n")
        flow.supervise()
        orchestrator = flow.begin("orchestrator", "start", "--run_name", "test")
        wait_until(lambda: 1 in started(flow), "it is started")
        found = explained(flow, "mult.1")
        assert found["status"] == "running" and found["causes"] == []
        assert found["processes"] >= 2 and Path(f"/proc/{found['pid']}").exists()
        assert 3500 < found["time_left_s"] < 3600 == found["time_limit_s"]
        wait_until(lambda: explained(flow, "mult.1")["last_line"] == "step 7", "its output")
        kill9(flow.ps()["supervisor"]["pid"])
        assert causes(flow, "mult.1") == []  # it goes on
        release(flow)
        wait_until(lambda: states(flow)[1] == "FAILED", "it has ended")
        orchestrator.wait(30)
        found = explained(flow, "mult.1")
        assert (found["status"], found["exit_code"]) == ("ended", 3)
        assert "a bad end" in found["stderr"] and found["ended"] > found["started"]
        text = flow.motoko("explain", "mult.1").stdout
        assert "to do: motoko retry mult.1" in text
        assert text.rstrip().endswith("end of its stderr:\n    a bad end")

    def test_gone(self, flow):
        make_runs(flow, ended(flow, 1, "START"))
        assert causes(flow, "mult.1") == ["gone", "no-supervisor"]

    def test_awaited(self, flow):
        (flow.directory / "orchestrator.py").write_text(
            "async def main(workflow, **params):\n"
            "    await workflow.mult.createTask(x=[1.0, 2.0])\n"
        )
        with_waiting_runs(flow)
        flow.supervise("--slots", "1")
        process = flow.begin("orchestrator", "start", "--run_name", "first")
        wait_until(lambda: started(flow) == [1], "one is started")
        found = wait_until(lambda: explained(flow, "mult.2")["awaited_by"], "it has told the bus")
        assert found[0].startswith(f"orchestrator first, pid {process.pid} on ")
        release(flow)
        assert process.wait(30) == 0


class TestTrouble:
    def test_frozen_server(self, flow):
        flow.supervise("--no-launchers")
        make_runs(flow, {"state": "FORWARDED", "ended_state": "FINISHED"})
        pid = flow.pids()["zeo:mult"]
        kill9(flow.ps()["supervisor"]["pid"])  # or it would replace the server
        os.kill(pid, signal.SIGSTOP)
        try:
            done = flow.motoko("explain", "mult.1")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert done.returncode == 0, done.stderr
        assert "mult.1 (x=1.0) is FORWARDED: a state of your own; it was FINISHED" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["mult.7"], "study mult has no run 7"),
            (["mult"], "'mult' names no run"),
            (["norm.1"], "there is no study 'norm'"),
            ([], "Missing argument"),
        ],
    )
    def test_wrong(self, flow, arguments, said):
        done = flow.motoko("explain", *arguments)
        assert done.returncode == 2 and said in done.stderr

    def test_not_created(self, workflow):
        done = workflow(created=False).motoko("explain", "mult.1")
        assert done.returncode == 2 and "motoko create" in done.stderr
