"""`motoko supervise`, `ps` and `kill` with real daemons."""

import os
import signal
import subprocess
import sys
import time

import pytest
from supervised import ALL, restarted
from support import kill9, wait_until

from motoko.config import load
from motoko.control import daemon_records
from motoko.layout import locate


class TestAdoption:
    def test_killed_supervisor(self, supervised):
        before = supervised.pids()
        kill9(supervised.ps()["supervisor"]["pid"])
        wait_until(lambda: supervised.motoko("ps").returncode == 3, "the supervisor is dead")
        lines = supervised.supervise()
        assert supervised.pids() == before
        assert all(f"adopted (pid {pid})" in lines for pid in before.values())
        # The adopted are looked after like the others.
        kill9(before["bus"])
        daemon = wait_until(restarted(supervised, "bus", before["bus"]), "the bus is back")
        assert daemon["last_exit"] == "ended"

    def test_killed_while_starting(self, two):
        for delay in (0.1, 0.2, 0.3, 0.5):
            process = two.begin("supervise", "--detach", start_new_session=True)
            due = time.monotonic() + delay
            identity = wait_until(
                lambda due=due: (
                    time.monotonic() > due and daemon_records.supervisor_identity(load(two.path))
                ),
                "a supervisor",
            )
            kill9(identity.pid)
            process.communicate(timeout=60)
        two.supervise()
        assert set(two.pids()) == ALL

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
    def test_an_interrupted_start_ends_nothing_that_was_there(self, supervised, number):
        before = supervised.pids()
        kill9(supervised.ps()["supervisor"]["pid"])
        wait_until(lambda: supervised.motoko("ps").returncode == 3, "the supervisor is dead")
        os.kill(before["watcher"], signal.SIGSTOP)  # so that the next one is not ready yet
        try:
            process = supervised.begin("supervise", "--detach", start_new_session=True)
            wait_until(lambda: supervised.state() == "starting", "it has adopted them")
            process.send_signal(number)
            process.wait(60)
        finally:
            os.kill(before["watcher"], signal.SIGCONT)
        wait_until(lambda: supervised.state() == "ready", "it goes on")
        assert supervised.pids() == before

    def test_gone_socket_directory(self, supervised):
        """A cleaner of temporary files took the sockets while nobody supervised."""
        kill9(supervised.ps()["supervisor"]["pid"])
        wait_until(lambda: supervised.motoko("ps").returncode == 3, "the supervisor is dead")
        sockets = locate(load(supervised.path)).sockets
        for path in sockets.iterdir():
            path.unlink()
        sockets.rmdir()
        assert supervised.motoko("ps").returncode == 3
        done = supervised.motoko("kill", "--now")
        assert done.returncode == 0 and done.stdout.count("stopped ") == len(ALL)


BOOM = """
import sys
from motoko.cli.main import main
from motoko.supervisor.watchdog import Watchdog
from motoko.supervisor.table import State

async def watch(self):
    import asyncio
    while not all(m.entry.state is State.READY for m in self._members.values()):
        await asyncio.sleep(0.05)
    raise ValueError("boom")

Watchdog.watch = watch
sys.argv = ["motoko", "supervise", sys.argv[1]]
main()
"""


def test_a_dead_task_ends_the_supervisor_and_nobody_else(workflow):
    flow = workflow()
    command = [sys.executable, "-c", BOOM, str(flow.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "the supervisor has failed: ValueError" in done.stderr
    log = flow.log("supervisor")
    assert "Traceback" in log and 'raise ValueError("boom")' not in done.stdout
    pids = flow.pids()
    assert {daemon["state"] for daemon in flow.daemons().values()} == {"orphaned"}
    flow.supervise()
    assert flow.pids() == pids
