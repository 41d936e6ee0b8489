"""Commands, orchestrators and scripts on other hosts than the one that supervises."""

import json
import sys

import pytest
from lab_flow import LabSession
from launching import GATE
from live_views import LIVE
from support import wait_until

REMOTE = "remote: true\n"
SLOW = f"{GATE}python doIt.py"
SCRIPT = """\
import asyncio
from motoko import Workflow

async def main():
    with Workflow("motoko.yaml") as workflow:
        workflow.run_name = "afar"
        runs = workflow.mult.createTask(script="python doIt.py")
        await runs
        print("awaited", [run.entries["state"] for run, _ in runs])

asyncio.run(main())
"""
MAIN = """\
async def main(workflow, **params):
    await workflow.mult.createTask(script="python doIt.py")
    workflow.finished = True
"""


def said(done, code=0):
    """What a command has printed, which has to end with an exit code."""
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def shown(there, *arguments):
    """What live views show there: the workflow, some runs, one run."""
    done = there.host.run(sys.executable, "-c", LIVE, *arguments, cwd=there.directory, check=False)
    workflow, _, page, detail = json.loads(said(done).splitlines()[-1])
    return workflow, page, detail


def orchestrated(flow):
    (flow.directory / "orchestrator.py").write_text(MAIN)


class TestReached:
    """The channel is on."""

    def test_commands(self, lab, placed):
        flow, session = placed("--slots", "2", yaml=REMOTE)
        there, further = flow.on(lab.nodes[0]), flow.on(lab.nodes[1])
        status = json.loads(said(there.motoko("ps", "--json")))
        assert status["supervisor"]["host"] == "head" and status["supervisor"]["state"] == "ready"
        assert ", on head" in said(there.motoko("ps"))
        # It is supervised, and is not to be a second time.
        assert "already running: pid" in said(there.motoko("supervise"))
        assert " on head" in said(there.motoko("supervise", "--detach", "--takeover"))
        assert there.ps()["supervisor"]["pid"] == status["supervisor"]["pid"]

        (run,) = session.create("python doIt.py")
        session.until([run], state="FINISHED")
        workflow, _, _ = shown(there, "told", f"mult.{run}")
        states = {one["name"]: one["state"] for one in workflow["processes"]}
        assert states["supervisor"] == states["watcher"] == "ready", states
        assert workflow["studies"][0]["states"]["finished"] == 1, workflow["studies"]

        before = there.daemons()["launcher:mult"]["pid"]
        assert "restarted launcher:mult" in said(there.motoko("restart", "launcher:mult"))
        assert there.daemons()["launcher:mult"]["pid"] != before
        said(there.motoko("stop", "launcher:mult"))
        said(there.motoko("start", "launcher:mult"))

        runs = session.create(SLOW, count=2)
        session.until(runs, state="launched")
        assert "it runs on head" in said(there.motoko("explain", f"mult.{runs[0]}"))
        assert "ended" in said(there.motoko("cancel", f"mult.{runs[0]}"))
        (flow.place(runs[1]) / "go").touch()
        session.until(runs[1:], ended_state="FINISHED")
        (flow.place(runs[0]) / "go").touch()
        assert "attempt 2" in said(there.motoko("retry", f"mult.{runs[0]}"))
        session.until(runs, ended_state="FINISHED")
        assert "mult" in said(there.motoko("info")) and "supervisor" in said(there.motoko("logs"))
        events = there.begin("events", "--since", "0", "--json")
        assert json.loads(events.stdout.readline())["study"] == "mult"
        assert "is supervised on head" in said(there.motoko("create", "--validated"), 1)

        assert "on head" in said(further.motoko("kill", "--now"))
        assert said(flow.motoko("ps"), 3) and not (flow.directory / ".wf" / "heartbeat").exists()
        wait_until(lambda: events.returncode == 0, "its end is told on the other host")
        assert said(there.motoko("supervise", "--detach"))  # it was stopped, and is nobody's
        flow.host = lab.nodes[0]

    def test_orchestrators(self, lab, placed):
        flow, session = placed("--slots", "2", yaml=REMOTE, edit=orchestrated)
        there, further = flow.on(lab.nodes[0]), flow.on(lab.nodes[1])
        said(there.motoko("orchestrator", "start", "--run_name", "here"))
        assert "orchestrator far" in said(
            there.motoko("orchestrator", "start", "--run_name", "far", "--detach")
        )
        wait_until(
            lambda: flow.daemons()["orchestrator:far"]["state"] == "ended", "it ran on the head"
        )
        assert {entry["run_name"] for entry in session.entries().values()} == {"here", "far"}
        # One of a name over all hosts.
        (flow.directory / "mult" / "launch.sh").write_text(SLOW)
        first = there.begin("orchestrator", "start", "--run_name", "one")
        wait_until(lambda: "one" in said(further.motoko("orchestrator", "status")), "it has begun")
        done = further.motoko("orchestrator", "start", "--run_name", "one")
        assert "is running already" in said(done, 5) and "on n1" in done.stderr
        done = flow.motoko("orchestrator", "start", "--run_name", "one", "--detach")
        assert "is running already" in said(done, 5)
        number = wait_until(
            lambda: [n for n, e in session.entries().items() if e["run_name"] == "one"], "its run"
        )[0]
        session.until([number], state="launched")
        (flow.place(number) / "go").touch()
        wait_until(lambda: first.returncode == 0, "it ends")

    def test_a_script(self, lab, placed):
        flow, _ = placed("--slots", "2", yaml=REMOTE)
        text = lab.nodes[1].python(SCRIPT, cwd=flow.directory)
        assert "awaited ['FINISHED']" in str(text)
        assert flow.ps()["supervisor"]["host"] == "head"

    def test_waiting_for_runs(self, lab, placed):
        """Launchers are paused as long as somebody on another host wants that."""
        flow, session = placed("--slots", "1", yaml=REMOTE)
        first = session.create(SLOW)
        session.until(first, state="launched")
        waiting = flow.on(lab.nodes[0]).begin("kill", "--wait")

        def paused():
            return flow.daemons()["launcher:mult"]["counts"]["paused"] == 1

        wait_until(paused, "its launcher is paused")
        second = session.create(SLOW)
        (flow.place(first[0]) / "go").touch()
        wait_until(lambda: waiting.returncode == 0, "the workflow is stopped")
        flow.host = lab.nodes[1]
        flow.supervise("--slots", "1")
        (flow.place(second[0])).mkdir(exist_ok=True)
        (flow.place(second[0]) / "go").touch()
        LabSession(flow).until(second, ended_state="FINISHED")


class TestNotReached:
    """Nothing leads there, or what does is out of order: that is said, and nothing is done."""

    COMMANDS = (
        *("supervise", "supervise --detach --takeover", "start bus", "events", "kill --now"),
        *("orchestrator start --run_name x", "orchestrator start --run_name x --detach"),
        *("create --validated", "cancel mult.1", "clean --yes", "retry --yes", "run"),
    )

    @pytest.mark.parametrize("how", ["the channel is off", "the network", "the key"])
    def test_commands(self, lab, placed, how):
        off = how == "the channel is off"
        flow, session = placed("--slots", "2", yaml="" if off else REMOTE)
        runs = session.create(SLOW)
        session.until(runs, state="launched")
        key = flow.directory / ".wf" / "channel" / "key.pem"
        if how == "the network":
            flow.host.cut()
        elif how == "the key":
            key.rename(key.with_name("away"))
        there = flow.on(lab.nodes[0])
        workflow, page, detail = shown(there, "untold", f"mult.{runs[0]}")
        (note, *_) = workflow["notes"]
        assert "is supervised on head" in note, workflow["notes"]
        assert [run["state"] for run in page["runs"]] == ["launched"], page
        assert workflow["studies"][0]["states"]["running"] == 1, workflow["studies"]
        assert "is launched" in detail["explanation"], detail
        words = {"the channel is off": "remote: true", "the network": "head", "the key": "key.pem"}
        before = (flow.directory / ".wf" / "daemons" / "supervisor.json").read_bytes()
        for line in self.COMMANDS:
            text = said(there.motoko(*line.split()), 1)
            assert "is supervised on head" in text and words[how] in text, (line, text)
        assert "is supervised on head" in said(there.motoko("ps"), 3)
        assert "is supervised on head" in said(
            there.host.run(sys.executable, "-c", SCRIPT, cwd=flow.directory, check=False), 1
        )
        explained = said(there.motoko("explain", f"mult.{runs[0]}"))
        assert f"mult.{runs[0]} (" in explained and ") is launched: " in explained
        said(there.motoko("info"))
        said(there.motoko("logs"))
        assert (flow.directory / ".wf" / "daemons" / "supervisor.json").read_bytes() == before
        flow.host.mend()
        if how == "the key":
            key.with_name("away").rename(key)
        (flow.place(runs[0]) / "go").touch()
        assert session.finished(runs).keys() == {*runs}
