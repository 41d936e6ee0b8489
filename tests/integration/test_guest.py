"""Being a good guest on a head node: priority, memory, logging out."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import Flow, kill9, motoko_command, wait_until

# What a terminal's shell does: it owns the terminal, runs a command, and waits for the next.
SHELL = """\
import fcntl, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
subprocess.run(sys.argv[1:], check=True)
print("done", flush=True)
signal.pause()
"""


@pytest.fixture
def with_settings(workflow):
    """Supervises a workflow with some lines below ``supervisor:``."""

    def make(text: str) -> Flow:
        flow = workflow()
        flow.path.write_text(f"{flow.path.read_text()}supervisor:\n{text}")
        flow.supervise()
        return flow

    return make


def stat(pid):
    """The fields of /proc/<pid>/stat behind the command's name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def nice(pid):
    return int(stat(pid)[16])


def terminal(pid):
    """The device number of a process's controlling terminal; 0 if it has none."""
    return int(stat(pid)[4])


class TestNice:
    def test_for_all(self, with_settings):
        flow = with_settings("  nice: 11\n")
        assert {nice(pid) for pid in flow.pids().values()} == {11}
        # One that takes another's place is as nice.
        before = flow.pids()["bus"]
        kill9(before)
        wait_until(lambda: flow.pids().get("bus", before) != before, "the bus is back")
        wait_until(lambda: flow.state() == "ready", "all is ready again")
        assert nice(flow.pids()["bus"]) == 11

    def test_for_one_kind(self, with_settings):
        flow = with_settings("  nice: {launcher: 5}\n")
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        assert {name: nice(pid) for name, pid in flow.pids().items()} == {
            "zeo:mult": mine,
            "bus": mine,
            "watcher": mine,
            "launcher:mult": max(5, mine),
        }


class TestMemory:
    def test_one_that_is_too_big_is_restarted(self, with_settings):
        """No daemon gets along with 10 MB."""
        flow = with_settings("  max_rss: {watcher: 10MB}\n")
        before = flow.pids()

        def restarted():
            daemon = flow.daemons()["watcher"]
            return daemon if daemon["pid"] != before["watcher"] and daemon["pid"] else None

        daemon = wait_until(restarted, "the watcher is restarted", timeout=30)
        assert daemon["restarts"] == 1
        reason = daemon["last_exit"]
        assert reason.startswith("used ") and reason.endswith(" MB (max_rss: 10 MB), restarted")
        assert f"watcher {reason.removesuffix('ed')}ing" in flow.log("supervisor")
        wait_until(lambda: flow.state() == "ready", "all is ready again")
        after = flow.pids()
        assert {n: p for n, p in after.items() if n != "watcher"} == {
            n: p for n, p in before.items() if n != "watcher"
        }


class TestLoggingOut:
    def test_detached_goes_on_when_its_terminal_is_closed(self, workflow):
        flow = workflow()
        ours, theirs = pty.openpty()
        shell = subprocess.Popen(
            [sys.executable, "-c", SHELL, *motoko_command("supervise", "--detach")],
            cwd=flow.directory,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # Whoever runs the tests with nohup ignores it, and so would the shell.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        os.close(theirs)
        said = b""
        while b"done" not in said:
            said += os.read(ours, 4096)
        assert terminal(shell.pid) != 0  # so closing it means something
        state = flow.ps()
        pids = {**flow.pids(), "supervisor": state["supervisor"]["pid"]}
        assert len(pids) == 5
        for name, pid in pids.items():
            assert terminal(pid) == 0, name
            assert os.getsid(pid) != shell.pid, name
            where = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
            assert not any(path.startswith("/dev/pt") for path in where), name
        os.close(ours)
        assert shell.wait(10) == -signal.SIGHUP
        # As some shells do at logout.
        os.kill(pids["supervisor"], signal.SIGHUP)
        wait_until(lambda: "the terminal has gone" in flow.log("supervisor"), "the signal has come")
        assert {**flow.pids(), "supervisor": flow.ps()["supervisor"]["pid"]} == pids
        assert flow.state() == "ready"
