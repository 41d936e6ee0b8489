"""`clean`, `retry`, `kill`, `info`, `launcher` and `orchestrator`, on real workflows."""

import contextlib
import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from command_workflows import STUDIES
from runs import (
    all_are,
    make_runs,
    runs_of,
    started,
    with_waiting_runs,
)
from support import kill9, motoko_command, wait_until

from motoko.host.identity import Identity


def create_tasks(flow, *options):
    """Run the orchestrator of ``support``, which makes two runs in each study, and ends."""
    done = flow.motoko("orchestrator", "start", "--run_name", "test", *options)
    assert done.returncode == 0, done.stderr


class TestKillStudy:
    def test_others_go_on(self, workflow):
        flow = workflow(studies=STUDIES)
        with_waiting_runs(flow)
        flow.supervise()
        make_runs(flow, {}, {})
        wait_until(lambda: sorted(started(flow)) == [1, 2], "the runs are started")
        before = flow.pids()
        done = flow.motoko("kill", "--bd_study", "mult", "--verbose")
        assert done.returncode == 0, done.stderr
        mine = {"launcher:mult", "zeo:mult"}
        for name, signal_name in (("launcher:mult", "SIGUSR1"), ("zeo:mult", "SIGTERM")):
            assert f"stopped {name} (pid {before[name]})" in done.stdout
            assert f"{name}: {signal_name} to pid {before[name]}" in done.stdout
        assert flow.pids() == {name: pid for name, pid in before.items() if name not in mine}
        daemons = flow.daemons()
        assert {daemons[name]["state"] for name in mine} == {"stopped"}
        assert flow.state() == "degraded"
        # Its runs were interrupted, and wait; the base is read from its file now.
        for entries in runs_of(flow).values():
            assert entries["state"] == "CREATED" and entries["interruptions"] == 1
        assert flow.motoko("kill", "-bd", "mult").stdout == "nothing is running\n"
        assert flow.motoko("info", "-", "runs", "info").returncode == 3
        # Another study's launcher does not bring it back, its own does.
        assert flow.motoko("launcher", "--bd_study", "add").returncode == 0
        assert flow.state() == "degraded"
        done = flow.motoko("launcher", "--bd_study", "mult")
        assert done.returncode == 0 and "starting zeo:mult" in done.stdout, done.stderr
        wait_until(lambda: flow.state() == "ready", "all is ready again")
        assert set(flow.pids()) == set(before)

    def test_supervise_starts_it_again(self, workflow):
        flow = workflow(studies=STUDIES)
        flow.supervise("--slots", "3")
        assert flow.motoko("kill", "-bd", "mult").returncode == 0
        done = flow.motoko("supervise", "--no-launchers")
        assert done.returncode == 0 and "starting zeo:mult" in done.stdout
        assert "launcher:mult" not in flow.pids() and flow.state() == "ready"
        assert flow.motoko("kill", "-bd", "mult").returncode == 0
        done = flow.motoko("supervise", "--slots", "2")
        assert done.returncode == 0 and "starting launcher:mult" in done.stdout
        assert flow.state() == "ready"
        command = Path(f"/proc/{flow.pids()['launcher:mult']}/cmdline").read_bytes().split(b"\0")
        assert command[-3:-1] == [b"--slots", b"2"]

    def test_orphans(self, workflow):
        flow = workflow(studies=STUDIES)
        flow.supervise()
        before = flow.pids()
        kill9(flow.ps()["supervisor"]["pid"])
        wait_until(lambda: flow.motoko("ps").returncode == 3, "the supervisor is dead")
        done = flow.motoko("kill", "-bd", "mult", "--verbose")
        assert done.returncode == 0, done.stderr
        assert f"SIGUSR1 to launcher:mult (pid {before['launcher:mult']})" in done.stdout
        left = {name for name in before if not name.endswith(":mult")}
        assert set(flow.pids()) == left
        done = flow.motoko("kill", "--verbose")
        assert done.stdout.count("stopped ") == len(left) and "SIGTERM to bus (pid" in done.stdout

    def test_frozen_supervisor(self, flow):
        flow.supervise()
        pid = flow.ps()["supervisor"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        done = flow.motoko("kill", "-bd", "mult")
        os.kill(pid, signal.SIGCONT)
        assert done.returncode == 1 and "does not answer" in done.stderr

    def test_requests(self, flow):
        flow.supervise()
        for names in (None, "zeo:mult", [3], ["zeo:mult", "zeo:norm"]):
            assert "error" in flow.ask("stop_daemons", names=names)
        assert "error" in flow.ask("add_launchers", studies="mult")
        assert flow.ask("stop_daemons", names=[]) == {"stopping": []}
        # Wanted again while it is being stopped.
        pid = flow.pids()["launcher:mult"]
        assert "stopping" in flow.ask("stop_daemons", names=["launcher:mult"])
        flow.ask("add_launchers")
        wait_until(
            lambda: flow.state() == "ready" and flow.pids().get("launcher:mult") != pid,
            "it has come back",
        )
        # A bus that is stopped comes back as well.
        flow.ask("stop_daemons", names=["bus"])
        wait_until(lambda: flow.daemons()["bus"]["state"] == "stopped", "the bus is stopped")
        assert flow.motoko("supervise").returncode == 0 and flow.state() == "ready"


class TestReset:
    def test_all(self, workflow):
        flow = workflow(studies=STUDIES)
        flow.supervise()
        create_tasks(flow)
        all_are(flow, "FINISHED")
        done = flow.motoko("kill", "--reset")
        assert done.returncode == 0, done.stderr
        assert "removed:\n  add: 2 jobs, 2 runs\n  mult: 2 jobs, 2 runs\n" in done.stdout
        assert "stopped zeo:add" in done.stdout
        assert not (flow.directory / ".wf").exists()
        assert {path.name for path in (flow.directory / "mult").iterdir()} == {
            *("bd.yaml", "doIt.py", "launch.sh"),
        }
        assert flow.motoko("kill", "--reset").stdout == "there was nothing to remove\n"
        assert flow.motoko("info").stdout == "add: not created\nmult: not created\n"
        assert flow.motoko("create").returncode == 0

    def test_one_study(self, workflow):
        flow = workflow(studies=STUDIES)
        flow.supervise()
        before = flow.pids()
        done = flow.motoko("kill", "--reset", "-bd", "mult")
        assert done.returncode == 0 and "removed:\n  mult: 0 jobs, 0 runs\n" in done.stdout
        assert not (flow.directory / "mult" / ".bd").exists()
        assert (flow.directory / "add" / ".bd").exists()
        assert flow.pids().items() <= before.items() and "zeo:add" in flow.pids()

    def test_damaged_database(self, flow):
        (flow.directory / "mult" / ".bd" / "bd.zeo").write_bytes(b"FS30" + b"garbage" * 100)
        (flow.directory / "mult" / ".bd" / "bd.zeo.index").unlink(missing_ok=True)
        done = flow.motoko("kill", "--reset")
        assert done.returncode == 0, done.stderr
        assert not (flow.directory / "mult" / ".bd").exists()

    @pytest.mark.parametrize(("answer", "code"), [("n", 130), ("y", 0)])
    def test_asks_on_a_terminal(self, flow, answer, code):
        make_runs(flow, {}, {})
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            motoko_command("kill", "--reset"),
            cwd=flow.directory,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        said = read_all(ours)
        assert process.wait(30) == code and "mult: 2 jobs, 2 runs" in said
        assert (flow.directory / "mult" / ".bd").exists() == (answer == "n")

    def test_an_orchestrator_that_goes_on(self, flow, monkeypatch):
        """While an orchestrator runs, .wf with its vars is not removed."""
        flow.supervise()
        process = subprocess.Popen(["sleep", "60"], cwd=flow.directory)
        record = flow.directory / ".wf" / "orchestrators" / "busy.json"
        identity = Identity.of(process.pid)
        record.write_text(json.dumps({"run_name": "busy", **identity.to_dict()}))
        try:
            done = flow.motoko("kill", "--reset")
        finally:
            process.kill()
            process.wait()
        assert done.returncode == 1 and "busy (pid" in done.stderr
        assert (flow.directory / "mult" / ".bd").exists()


def read_all(descriptor):
    """What a terminal shows until nobody writes to it any more."""
    text = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(descriptor, 4096):
            text += chunk
    os.close(descriptor)
    return text.decode()
