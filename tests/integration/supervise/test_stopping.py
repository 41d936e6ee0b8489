"""`motoko supervise`, `ps` and `kill` with real daemons."""

import os
import pty
import signal
import subprocess
import sys

import pytest
from supervised import ALL, frozen, restarted
from support import kill9, wait_until

from motoko.config import load
from motoko.layout import locate


class TestStopping:
    def test_kill_leaves_nothing(self, supervised):
        runtime = locate(load(supervised.path))
        done = supervised.motoko("kill")
        assert done.returncode == 0
        assert done.stdout.count("stopped ") == 1 + len(ALL)
        assert not runtime.sockets.exists()
        assert not list((runtime.wf / "daemons").iterdir())
        assert supervised.motoko("ps").returncode == 3
        again = supervised.motoko("kill")
        assert (again.returncode, again.stdout) == (0, "nothing is running\n")

    def test_kill_orphans(self, supervised):
        kill9(supervised.ps()["supervisor"]["pid"])
        wait_until(lambda: supervised.motoko("ps").returncode == 3, "the supervisor is dead")
        done = supervised.motoko("kill")
        assert done.returncode == 0 and done.stdout.count("stopped ") == len(ALL)
        assert not list((supervised.directory / ".wf" / "daemons").iterdir())

    def test_kill_with_frozen_supervisor(self, supervised):
        frozen(supervised)
        done = supervised.motoko("kill", timeout=60)
        assert done.returncode == 0 and "which did not answer" in done.stdout
        assert supervised.motoko("ps").returncode == 3

    def test_kill_frozen_daemons(self, supervised):
        for name in ("bus", "zeo:add"):
            os.kill(supervised.pids()[name], signal.SIGSTOP)
        assert supervised.motoko("kill", timeout=60).returncode == 0

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_foreground(self, two, number):
        process = two.begin("supervise")
        wait_until(lambda: two.state() == "ready", "all is ready")
        pids = two.pids()
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
        for name, pid in pids.items():
            assert f"ready (pid {pid})" in output
            assert any(line.split() == [name, "stopped"] for line in output.splitlines()), output
        assert two.motoko("ps").returncode == 3

    def test_second_interrupt_is_at_once(self, two):
        process = two.begin("supervise")
        wait_until(lambda: two.state() == "ready", "all is ready")
        for pid in two.pids().values():
            os.kill(pid, signal.SIGSTOP)  # nobody obeys
        process.send_signal(signal.SIGINT)
        wait_until(lambda: two.state() == "stopping", "it stops")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=5)
        assert process.returncode == 0, output

    def test_losing_the_terminal_ends_nothing(self, two):
        parent, child = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "motoko", "supervise"],
            cwd=two.directory,
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
        )
        os.close(child)
        wait_until(lambda: two.state() == "ready", "all is ready")
        os.close(parent)
        process.send_signal(signal.SIGHUP)
        bus = two.pids()["bus"]
        kill9(bus)  # something to print
        wait_until(restarted(two, "bus", bus), "the bus is back")
        assert process.poll() is None
        assert two.motoko("kill").returncode == 0
        assert process.wait(10) == 0
