"""`clean`, `retry`, `kill`, `info`, `launcher` and `orchestrator`, on real workflows."""

import re
import subprocess

from command_workflows import following
from runs import (
    make_runs,
    release,
    runs_of,
    started,
    with_waiting_runs,
)
from support import motoko_command, wait_until

from motoko.host.identity import Identity

BROKEN = "def main(:\n"


WITH_OPTIONS = """\
def populate_arg_parser(parser):
    parser.add_argument("--inputs", type=float, nargs="+", default=[1.0], help="what is computed")


async def main(workflow, inputs, **params):
    print("run_name", params["run_name"], flush=True)
    await workflow.mult.createTask(x=inputs)
    workflow.finished = True
"""


class TestOrchestrator:
    def test_its_own_options(self, flow):
        (flow.directory / "orchestrator.py").write_text(WITH_OPTIONS)
        for option in ("--help", "-h"):
            done = flow.motoko("orchestrator", "start", option)
            assert done.returncode == 0 and "--inputs" in done.stdout
            assert "--run_name" in done.stdout and "motoko-detached" not in done.stdout
        flow.supervise()
        done = flow.motoko(
            *("--verbose", "orchestrator", "start", "-n", "a", "--wait", "5", "--inputs", "2", "3")
        )
        assert done.returncode == 0, done.stderr
        assert [entries["y"] for entries in runs_of(flow).values()] == [4.0, 6.0]
        assert flow.motoko("orchestrator", "start", "-n", "a", "--outputs").returncode == 2
        assert flow.motoko("orchestrator", "start").returncode == 2

    def test_detached(self, flow):
        with_waiting_runs(flow)
        flow.supervise()
        (flow.directory / "orchestrator.py").write_text(WITH_OPTIONS)
        # An abbreviation detaches once, not again and again.
        done = flow.motoko("orchestrator", "start", "--det", "--run_name", "far", "--inputs", "4")
        assert done.returncode == 0, done.stderr
        pid = int(re.search(r"orchestrator far started \(pid (\d+)\)", done.stdout)[1])
        assert f"far: running, pid {pid}" in flow.motoko("orchestrator", "status").stdout
        second = flow.motoko("orchestrator", "start", "-d", "-n", "far")
        assert second.returncode == 5 and "is running already" in second.stderr
        wait_until(
            lambda: "run_name far" in flow.motoko("orchestrator", "status", "-l").stdout, "its log"
        )
        with following(flow, "orchestrator", "status", "--follow") as log:
            wait_until(lambda: "run_name far" in log.readline(), "its log")
        wait_until(lambda: started(flow) == [1], "its run is started")
        assert flow.motoko("orchestrator", "stop").stdout == f"stopped far (pid {pid})\n"
        assert Identity.of(pid) is None
        assert flow.motoko("orchestrator", "stop").stdout == "no orchestrator is running\n"
        release(flow)
        # It goes on where it was.
        done = flow.motoko("orchestrator", "start", "-n", "far", "--inputs", "4")
        assert done.returncode == 0 and started(flow) == [1]

    def test_detached_and_wrong(self, flow):
        flow.supervise()
        (flow.directory / "orchestrator.py").write_text(
            "import sys\nasync def main(workflow, **params): sys.exit(7)\n"
        )
        done = flow.motoko("orchestrator", "start", "-d", "-n", "far")
        # It may have been seen to be running before it ended.
        assert done.returncode in (0, 7) and not flow.ps()["orchestrators"]


def test_broken_orchestrator_breaks_nothing_else(workflow, tmp_path):
    """No command but those that run it imports orchestrator.py."""
    flow = workflow()
    (flow.directory / "orchestrator.py").write_text(BROKEN)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    create = subprocess.run(
        motoko_command("create", str(flow.directory), "--validated"),
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert create.returncode == 0, create.stderr
    make_runs(flow, {"state": "FAILED"}, {"state": "FINISHED"})
    for arguments in (
        *(["info"], ["info", "--verbose"], ["clean", "--constraints", "runs.id = 2"]),
        *(["supervise", "--detach"], ["ps"], ["ps", "--json"], ["retry", "mult.1"]),
        *(["launcher"], ["orchestrator", "status"], ["orchestrator", "stop"]),
        *(["info", "-", "runs", "info"], ["completion", "bash"], ["--version"], ["--help"]),
        *(["kill", "-bd", "mult"], ["--verbose", "kill"], ["kill", "--reset"]),
    ):
        done = flow.motoko(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        assert "orchestrator.py" not in done.stderr
    assert flow.motoko("create").returncode == 0
    for arguments in (["orchestrator", "start", "-n", "a"], ["run"]):
        done = flow.motoko(*arguments)
        assert done.returncode == 2 and "orchestrator.py, line 1" in done.stderr
