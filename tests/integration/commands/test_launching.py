"""`clean`, `retry`, `kill`, `info`, `launcher` and `orchestrator`, on real workflows."""

import os
import signal

from command_workflows import STUDIES, following
from support import wait_until


class TestLauncher:
    def test_one_study(self, workflow):
        flow = workflow(studies=STUDIES)
        done = flow.motoko("launcher", "--bd_study", "mult", "--generator", "bashCoat")
        assert done.returncode == 0 and "starting launcher:mult" in done.stdout
        assert "launcher:mult" in flow.pids() and "launcher:add" not in flow.pids()
        assert flow.motoko("launcher").returncode == 0
        assert "launcher:add" in flow.pids()
        assert flow.motoko("launcher", "--generator", "pbsCoat").returncode == 2
        with following(flow, "launcher", "-l", "-bd", "mult") as log:
            assert "mult" in log.readline()

    def test_foreground(self, workflow):
        flow = workflow(studies=STUDIES)
        options = ("--bd_study", "mult", "--do_not_detach")
        process = flow.begin("launcher", *options, start_new_session=True)
        wait_until(lambda: "ready: " in process.stdout.readline(), "its log")
        assert "launcher:mult" in flow.pids()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.communicate(timeout=30)
        wait_until(lambda: "launcher:mult" not in flow.pids(), "the launcher has gone")
        assert "zeo:mult" in flow.pids()
