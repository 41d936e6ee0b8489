"""Orchestrators in the background: looked after, found again, stopped, and remembered."""

import json
import os
import re
import signal

import pytest
from support import kill9, wait_until

from motoko.config import load
from motoko.control.daemon_records import supervisor_identity
from motoko.host.identity import Identity

ORCHESTRATOR = """\
import asyncio
import os
import sys
from pathlib import Path


def populate_arg_parser(parser):
    parser.add_argument("--how", default="")
    parser.add_argument("--json", type=int, default=0)  # one of ours, and the workflow's now


async def main(workflow, how, json, **params):
    with open("lives", "a") as lives:
        lives.write(f"{os.environ.get('GIVEN')} {json}\\n")
    print(f"how: {how}")
    if how == "await":
        await workflow.mult.createTask(x=1.0)
    if how == "sleep":
        await asyncio.sleep(1000)
    if how == "hang":
        import time
        time.sleep(1000)
    if how == "raise":
        raise ValueError("boom")
    if how == "exit":
        sys.exit(7)
    if how == "once" and not Path("again").exists():
        Path("again").touch()
        sys.exit(7)
"""


@pytest.fixture
def flow(workflow):
    """A supervised workflow without launchers: what is awaited does not come."""
    flow = workflow()
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    flow.supervise("--no-launchers")
    return flow


def start(flow, how, *options, run_name="a", **environment):
    """Start one in the background; returns its pid, or what the command has said if it failed."""
    options = ["--detach", "--run_name", run_name, "--how", how, *options]
    before = lives(flow)
    done = flow.motoko("orchestrator", "start", *options, **environment)
    found = re.search(r"started \(pid (\d+)\)", done.stdout)
    if not found:
        return done
    wait_until(lambda: len(lives(flow)) > len(before), "its function has begun")
    return int(found[1])


def status(flow, run_name="a"):
    """What `orchestrator status --json` tells of one."""
    done = flow.motoko("orchestrator", "status", "--json")
    assert done.returncode == 0, done.stderr
    return {each["run_name"]: each for each in json.loads(done.stdout)}.get(run_name)


def running(flow, run_name="a", other_than=None):
    """The one that is at work, with another pid than this."""

    def condition():
        found = status(flow, run_name)
        return found and found["pid"] != other_than and found["state"] == "running" and found

    return wait_until(condition, f"{run_name} is at work")


def ended(flow, run_name="a", state="ended"):
    def condition():
        found = status(flow, run_name)
        return found if found and found["state"] == state else None

    return wait_until(condition, f"{run_name} is {state}")


def lives(flow):
    path = flow.directory / "lives"
    return path.read_text().splitlines() if path.exists() else []


class TestStarting:
    def test_is_a_daemon(self, flow):
        pid = start(flow, "await", "--json", "3", GIVEN="of the caller")
        daemon = flow.daemons()["orchestrator:a"]
        assert (daemon["kind"], daemon["pid"], daemon["state"]) == ("orchestrator", pid, "ready")
        assert os.getsid(pid) == pid
        # The caller's environment and directory, and the workflow's own option.
        assert lives(flow) == ["of the caller 3"]
        found = wait_until(lambda: (found := status(flow))["waiting"] and found, "it waits")
        assert found["waiting"] == ["RunList(mult.1)"] and found["detached"]
        assert "has waited" in flow.motoko("ps").stdout
        line = r"\d{4}-\d\d-\d\dT[\d:.]+Z INFO orchestrator:a how: await"
        assert re.search(line, flow.log("orchestrator:a"))
        assert "how: await" in flow.motoko("logs", "orchestrator:a").stdout
        assert flow.state() == "ready"
        request = flow.directory / ".wf" / "detached"
        assert request.stat().st_mode & 0o077 == 0, "it holds the caller's environment"

    def test_has_a_supervisor_started(self, workflow):
        flow = workflow()
        (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
        done = flow.motoko("orchestrator", "start", "-d", "-n", "a", "--how", "sleep")
        assert done.returncode == 0 and "starting one" in done.stderr
        assert status(flow)["state"] == "running"

    def test_one_for_a_run_name(self, flow):
        options = ("orchestrator", "start", "-n", "a", "--how", "sleep")
        started = [flow.begin(*options, "--detach") for _ in range(3)]
        outputs = [process.communicate(timeout=60)[0] for process in started]
        assert sorted(process.returncode for process in started) == [0, 5, 5], outputs
        pid = running(flow)["pid"]
        for detach in ([], ["--detach"]):
            done = flow.motoko(*options, *detach)
            assert done.returncode == 5 and f"(pid {pid} on " in done.stderr
        wait_until(lambda: len(lives(flow)) == 1, "its function has begun")
        kill9(pid)
        other = running(flow, other_than=pid)["pid"]
        # One in a terminal holds its run_name, too.
        foreground = flow.begin("orchestrator", "start", "-n", "b", "--how", "sleep")
        running(flow, "b")
        done = start(flow, "sleep", run_name="b")
        assert done.returncode == 5 and f"(pid {foreground.pid} on " in done.stderr
        assert running(flow)["pid"] == other

    def test_not_from_inside_a_run(self, flow):
        done = start(flow, "sleep", BLACKDYNAMITE_RUN_ID="1")
        assert done.returncode == 3 and status(flow) is None

    def test_wrong_options(self, flow):
        done = start(flow, "sleep", "--none-of-ours")
        assert done.returncode == 2 and status(flow) is None


class TestEnds:
    def test_are_kept(self, flow):
        codes = {"none": 0, "exit": 7, "raise": 1}
        for how, code in codes.items():
            start(flow, how, run_name=how)
            found = ended(flow, how)
            assert (found["exit_code"], found["pid"], found["restarts"]) == (code, None, 0)
            shown = flow.motoko("orchestrator", "status").stdout
            assert f"with exit code {code}" in shown
            assert ("ValueError: boom" in found["error"]) == (how == "raise")
            assert ("Traceback" in shown and "orchestrator.py" in shown) == (how == "raise")
        assert flow.state() == "ready" and len(lives(flow)) == len(codes)
        # Also by the next supervisor.
        assert flow.motoko("kill").returncode == 0
        assert {how: status(flow, how)["exit_code"] for how in codes} == codes
        flow.supervise("--no-launchers")
        assert {how: status(flow, how)["exit_code"] for how in codes} == codes
        assert len(lives(flow)) == len(codes)

    def test_of_a_users_mistake(self, flow):
        (flow.directory / "mult" / "bd.yaml").write_text("study: mult\njob:\n  z: float\n")
        start(flow, "await")
        found = ended(flow)
        assert found["exit_code"] == 2 and found["error"] and not found["traceback"]

    def test_may_be_started_again(self, flow):
        start(flow, "exit")
        ended(flow)
        start(flow, "sleep")
        found = running(flow)
        assert found["exit_code"] is None and len(lives(flow)) == 2


class TestRestarts:
    def test_killed(self, flow):
        pid = start(flow, "sleep")
        for count, number in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
            os.kill(pid, number)
            found = running(flow, other_than=pid)
            assert found["restarts"] == count and found["last_exit"] == f"died by {number.name}"
            pid = found["pid"]
            wait_until(lambda count=count: len(lives(flow)) == 1 + count, "it has begun again")

    def test_on_failure(self, flow):
        start(flow, "once", "--restart", "on-failure")
        found = ended(flow)
        assert found["exit_code"] == 0 and found["restarts"] == 1 and len(lives(flow)) == 2

    def test_never(self, flow):
        text = flow.path.read_text()
        flow.path.write_text(f"{text}supervisor: {{restart: never}}\n")
        pid = start(flow, "sleep")
        kill9(pid)
        assert ended(flow)["last_exit"] == "died by SIGKILL" and len(lives(flow)) == 1

    def test_with_everything_else(self, flow):
        """After a reboot a detached orchestrator is started again with everything else."""
        pid = start(flow, "sleep")
        who = [supervisor_identity(load(flow.path)).pid, pid]
        for each in who:
            kill9(each)
        wait_until(lambda: not any(Identity.of(each) for each in who), "they are dead")
        flow.supervise("--no-launchers")
        found = running(flow, other_than=pid)
        assert found["restarts"] == 1 and found["detached"]


class TestAdoption:
    def test_the_supervisor_killed(self, flow):
        pid = start(flow, "sleep")
        supervisor = supervisor_identity(load(flow.path))
        kill9(supervisor.pid)
        wait_until(lambda: not supervisor.alive, "it is dead")
        assert status(flow)["pid"] == pid
        flow.supervise("--no-launchers")
        assert flow.daemons()["orchestrator:a"]["pid"] == pid and len(lives(flow)) == 1
        # The new one is no parent of it, and knows nevertheless how it ends.
        kill9(pid)
        found = running(flow, other_than=pid)
        assert found["restarts"] == 1

    def test_an_end_that_nobody_saw(self, flow):
        start(flow, "sleep")
        pid = running(flow)["pid"]
        supervisor = supervisor_identity(load(flow.path))
        kill9(supervisor.pid)
        wait_until(lambda: not supervisor.alive, "it is dead")
        os.kill(pid, signal.SIGUSR1)  # what it gets when the workflow is stopped
        wait_until(lambda: Identity.of(pid) is None, "it has ended")
        assert status(flow)["exit_code"] == 4
        flow.supervise("--no-launchers")
        assert status(flow)["exit_code"] == 4 and len(lives(flow)) == 1

    def test_an_adopted_one_that_ends(self, flow):
        pid = start(flow, "sleep", "--restart", "on-kill")
        supervisor = supervisor_identity(load(flow.path))
        kill9(supervisor.pid)
        wait_until(lambda: not supervisor.alive, "it is dead")
        flow.supervise("--no-launchers")
        os.kill(pid, signal.SIGUSR1)
        found = ended(flow)
        assert found["exit_code"] == 4 and "exited with 4" in found["last_exit"]


class TestStopping:
    def test_one(self, flow):
        pid, other = start(flow, "sleep"), start(flow, "sleep", run_name="b")
        done = flow.motoko("orchestrator", "stop", "--run_name", "a")
        assert done.stdout == f"stopped a (pid {pid})\n"
        assert status(flow)["state"] == "stopped" and running(flow, "b")["pid"] == other
        done = flow.motoko("orchestrator", "stop", "--run_name", "a")
        assert done.stdout == "no orchestrator is running\n"
        flow.motoko("supervise", "--no-launchers")
        assert status(flow)["state"] == "stopped" and len(lives(flow)) == 2
        assert flow.motoko("orchestrator", "stop").stdout == f"stopped b (pid {other})\n"

    def test_by_its_daemons_name(self, flow):
        pid = start(flow, "sleep")
        name = "orchestrator:a"
        done = flow.motoko("restart", name)
        assert done.returncode == 0 and "restarted orchestrator:a" in done.stdout, done.stderr
        other = running(flow, other_than=pid)["pid"]
        assert flow.motoko("stop", name).stdout == f"stopped {name} (pid {other})\n"
        assert status(flow)["state"] == "stopped"
        assert flow.motoko("start", name).returncode == 0
        last = running(flow)["pid"]
        # It is wanted again, also by the next supervisor.
        who = [supervisor_identity(load(flow.path)).pid, last]
        for each in who:
            kill9(each)
        wait_until(lambda: not any(Identity.of(each) for each in who), "they are dead")
        flow.supervise("--no-launchers")
        running(flow, other_than=last)

    def test_without_a_supervisor(self, flow):
        pid = start(flow, "sleep")
        supervisor = supervisor_identity(load(flow.path))
        kill9(supervisor.pid)
        wait_until(lambda: not supervisor.alive, "it is dead")
        assert flow.motoko("orchestrator", "stop").stdout == f"stopped a (pid {pid})\n"
        flow.supervise("--no-launchers")
        assert status(flow)["state"] == "stopped" and len(lives(flow)) == 1

    @pytest.mark.parametrize("supervised", [True, False])
    def test_kill_tells_them(self, flow, supervised):
        pids = {how: start(flow, how, run_name=how) for how in ("sleep", "await", "hang")}
        if not supervised:
            supervisor = supervisor_identity(load(flow.path))
            kill9(supervisor.pid)
            wait_until(lambda: not supervisor.alive, "it is dead")
        done = flow.motoko("kill")
        assert done.returncode == 0
        for how, pid in pids.items():
            assert f"stopped orchestrator:{how} (pid {pid})" in done.stdout
            assert Identity.of(pid) is None
        # One that does not listen is killed.
        codes = {how: status(flow, how)["exit_code"] for how in pids}
        assert codes == {"sleep": 4, "await": 4, "hang": None}
        flow.supervise("--no-launchers")
        assert flow.ps()["orchestrators"] == [] and len(lives(flow)) == len(pids)


def test_fresh(flow):
    assert flow.motoko("orchestrator", "start", "-n", "a", "--fresh").returncode == 0
    start(flow, "await")
    wait_until(lambda: status(flow)["waiting"], "it has a run")
    flow.motoko("orchestrator", "stop")
    for detach in ([], ["--detach"]):
        done = flow.motoko("orchestrator", "start", "-n", "a", "--fresh", *detach)
        assert done.returncode == 1 and "'a' has runs already" in done.stderr
        assert "Traceback" not in done.stderr
    assert flow.motoko("orchestrator", "start", "-n", "b", "--fresh").returncode == 0
