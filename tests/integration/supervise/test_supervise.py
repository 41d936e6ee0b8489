"""`motoko supervise`, `ps` and `kill` with real daemons."""

import fcntl
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from supervised import ALL, STUDIES, frozen, restarted
from support import kill9, wait_until

from motoko import Workflow
from motoko.control.supervisor_lock import AlreadySupervised
from motoko.host.identity import Identity

DAEMON_KEYS = {
    "name", "kind", "pid", "state", "uptime_s", "restarts", "cpu_s", "rss_bytes", "last_exit",
    "log", "detail", "counts", "log_tail", "trouble",
}  # fmt: skip


class TestStarting:
    def test_detached_is_ready_when_it_returns(self, two):
        """All is, as ps tells; and no daemon has inherited anything."""
        # `motoko` in support runs with pipes: it would not return if a daemon held one.
        lines = two.supervise()
        state = two.ps()
        assert state["supervisor"]["state"] == "ready"
        assert {d["name"]: d["state"] for d in state["daemons"]} == dict.fromkeys(ALL, "ready")
        for daemon in state["daemons"]:
            assert f"ready (pid {daemon['pid']})" in lines
        pipes = {str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in (0, 1, 2)}
        for pid in (*two.pids().values(), two.ps()["supervisor"]["pid"]):
            fds = {str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in (0, 1, 2)}
            assert not fds.intersection(pipes - {"/dev/null"})
            assert "/dev/null" in fds and all(".wf/log" in fd or fd == "/dev/null" for fd in fds)
        self.is_all_that_ps_tells(two)

    def is_all_that_ps_tells(self, flow):
        done = flow.motoko("ps", "--json")
        state = flow.ps()
        assert done.returncode == 0
        assert set(state) == {"workflow", "supervisor", "daemons", "orchestrators", "warnings"}
        assert state["workflow"] == str(flow.path) and state["orchestrators"] == []
        assert set(state["supervisor"]) == {"pid", "host", "state", "uptime_s"}
        assert state["supervisor"]["host"] == socket.gethostname()
        for daemon in state["daemons"]:
            assert set(daemon) == DAEMON_KEYS
            assert daemon["rss_bytes"] > 1e6 and daemon["cpu_s"] >= 0 and daemon["restarts"] == 0
            assert 0 <= daemon["uptime_s"] < 60 and daemon["last_exit"] is None
            assert Path(daemon["log"]).exists()
        kinds = {daemon["name"]: daemon["kind"] for daemon in state["daemons"]}
        assert kinds == {name: name.partition(":")[0] for name in ALL}
        # Plain lines are whole.
        done = flow.motoko("ps", COLUMNS="40")
        assert len(done.stdout.splitlines()) == 2 + 1 + len(ALL)
        assert "\x1b" not in done.stdout

    def test_without_launchers_then_with(self, two):
        two.supervise("--no-launchers")
        before = two.pids()
        assert set(before) == {name for name in ALL if not name.startswith("launcher")}
        done = two.motoko("supervise", "--slots", "3")
        assert done.returncode == 0 and "already running: pid " in done.stdout
        after = two.pids()
        assert set(after) == ALL and before.items() <= after.items()
        command = control_command(after["launcher:add"])
        assert command[-2:] == ["--slots", "3"]

    def test_second_says_already_running(self, shared):
        before = shared.pids()
        for options in ([], ["--detach"]):
            done = shared.motoko("supervise", *options)
            assert done.returncode == 0 and not done.stderr
            pid = shared.ps()["supervisor"]["pid"]
            assert f"already running: pid {pid}, since 20" in done.stdout
        assert shared.pids() == before

    def test_many_at_once_make_one(self, two):
        started = [two.begin("supervise", "--detach") for _ in range(4)]
        for process in started:
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0, output
        assert set(two.pids()) == ALL

    def test_not_created(self, workflow):
        flow = workflow(studies=STUDIES, created=False)
        for options in ([], ["--detach"]):
            done = flow.motoko("supervise", *options)
            assert done.returncode == 2
            assert "add, mult" in done.stderr and "hint: motoko create" in done.stderr
            assert not (flow.directory / ".wf").exists()

    def test_never_from_inside_a_run(self, two):
        done = two.motoko("supervise", "--detach", BLACKDYNAMITE_RUN_ID="1")
        assert done.returncode == 3 and "hint: " in done.stderr

    def test_a_daemon_that_cannot_start(self, two):
        database = two.directory / "mult" / ".bd" / "bd.zeo"
        good = database.read_bytes()
        database.write_bytes(b"this is no database at all")
        done = two.motoko("supervise", "--detach")
        assert (
            done.returncode == 1
            and "Traceback (most recent call last):\n  File"
            not in (done.stderr.split("the end of")[0])
        )
        assert "zeo:mult given up after 5 attempts (exited with 1)" in done.stderr
        daemons = two.daemons()
        assert daemons["zeo:mult"]["state"] == "failed" and daemons["zeo:add"]["state"] == "ready"
        assert two.motoko("ps").returncode == 1
        # supervise gives it another chance.
        database.write_bytes(good)
        done = two.motoko("supervise")
        assert done.returncode == 0, done.stderr
        assert "starting zeo:mult" in done.stdout and two.state() == "ready"

    def test_supervised_on_another_host(self, workflow):
        flow = workflow(created=False)
        record = flow.directory / ".wf" / "daemons" / "supervisor.json"
        lock = flow.directory / ".wf" / "locks" / "supervisor"
        record.parent.mkdir(parents=True)
        lock.parent.mkdir()
        me = Identity.mine().to_dict()
        elsewhere = {**me, "name": "supervisor", "host": "login7", "boot_id": "its own"}
        record.write_text(json.dumps(elsewhere))
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # as seen through a shared file system
            for line in ("supervise", "kill", "create", "create --validated", "events"):
                done = flow.motoko(*line.split())
                assert done.returncode == 1 and "is supervised on login7 (pid" in done.stderr
                assert "work there, or stop it: ssh login7 motoko kill" in done.stderr
            supervisor = flow.ps()["supervisor"]
            assert (supervisor["host"], supervisor["pid"]) == ("login7", None)
            with pytest.raises(AlreadySupervised):
                Workflow(flow.path).create(validated=True)
        # Without its lock it is dead: that is said, and whoever wants to takes over from it.
        done = flow.motoko("supervise")
        assert done.returncode == 3 and "motoko supervise --takeover" in done.stderr
        assert "no database yet" in flow.motoko("supervise", "--takeover").stderr
        record.unlink()

    def test_awkward_directory(self, workflow):
        flow = workflow(name="a b" + "-long" * 30 + " é")
        flow.supervise()
        assert flow.state() == "ready"


class TestPs:
    def test_dead_supervisor(self, supervised):
        before = supervised.pids()
        kill9(supervised.ps()["supervisor"]["pid"])
        done = wait_until(
            lambda: (done := supervised.motoko("ps", "--json")).returncode == 3 and done, "orphans"
        )
        state = supervised.ps()
        assert done.stdout and state["supervisor"]["pid"] is None
        assert {d["name"]: d["pid"] for d in state["daemons"]} == before
        assert {d["state"] for d in state["daemons"]} == {"orphaned"}

    def test_frozen_supervisor(self, shared):
        pid = frozen(shared)
        try:
            done = shared.motoko("ps", "--json", timeout=10)
            state = shared.ps()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert done.returncode == 1
        assert state["supervisor"]["state"] == "not answering"
        assert state["supervisor"]["pid"] == pid and len(state["daemons"]) == len(ALL)


class TestRestarting:
    def test_killed_daemon_is_replaced(self, shared):
        for name in sorted(ALL):
            before, restarts = shared.pids(), shared.daemons()[name]["restarts"]
            kill9(before[name])
            daemon = wait_until(restarted(shared, name, before[name]), f"{name} is back")
            assert daemon["restarts"] == restarts + 1
            assert daemon["last_exit"] == "died by SIGKILL"
            after = shared.pids()
            assert {n: p for n, p in after.items() if n != name} == {
                n: p for n, p in before.items() if n != name
            }
            wait_until(lambda: shared.state() == "ready", "all is ready again")
        # Also one that is killed many times.
        for _ in range(6):
            pid = shared.pids()["bus"]
            kill9(pid)
            wait_until(restarted(shared, "bus", pid), "the bus is back")
        wait_until(lambda: shared.state() == "ready", "all is ready again")

    @pytest.mark.parametrize("names", [("zeo:mult", "watcher"), ("bus", "launcher:mult")], ids=str)
    def test_frozen_daemon_is_replaced(self, shared, names):
        for name in names:
            before = shared.pids()
            os.kill(before[name], signal.SIGSTOP)
            daemon = wait_until(
                restarted(shared, name, before[name]), f"{name} is replaced", timeout=45
            )
            assert "for 10 s, killed" in daemon["last_exit"]
            others = {n: p for n, p in shared.pids().items() if n != name}
            assert others == {n: p for n, p in before.items() if n != name}
            wait_until(lambda: shared.state() == "ready", "all is ready again")

    def test_supervisor_that_was_frozen_kills_nobody(self, shared):
        before = shared.pids()
        pid = frozen(shared)
        thawed = time.monotonic() + 14
        wait_until(lambda: time.monotonic() > thawed, "more than the silence that counts")
        os.kill(pid, signal.SIGCONT)
        watched = time.monotonic() + 6
        wait_until(lambda: time.monotonic() > watched, "it has looked at them")
        assert shared.pids() == before and shared.state() == "ready"


def control_command(pid):
    """A process's command line as a list."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return [part.decode() for part in file.read().split(b"\0")[:-1]]
