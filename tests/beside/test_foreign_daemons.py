"""Servers and launch daemons that BlackDynamite's own commands have started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from digging import CAN_YOU_DIG_IT, dig, execute, finished, foreign
from public_motoko import public_venv
from support import wait_until

from motoko import Workflow
from motoko.errors import MotokoError
from motoko.store.blackdynamite_daemons import LAUNCHER, ORCHESTRATOR, SERVER

POST = """\
import BlackDynamite as BD

for run, job in BD.RunSelector(BD.Base()).selectRuns({"study": "bd_study"}):
    print(run.id, job.x, run.state)
"""


AWAITING = """\
import asyncio


def populate_arg_parser(parser):
    pass


async def main(workflow, **params):
    workflow.vars.begun = True
    await asyncio.sleep(1000)
"""


def address(flow):
    """The line of zeo.conf by which clients find the server."""
    lines = (flow.directory / "example" / ".bd" / "zeo.conf").read_text().splitlines()
    (line,) = [line for line in lines if "address" in line]
    return line


def test_a_server_that_nobody_uses_makes_way(flow):
    dig(flow, "jobs", "create")
    dig(flow, "runs", "create", "--run_name", "dug")
    assert foreign(flow) == {SERVER}
    assert "stopped BlackDynamite's ZEO server" in flow.supervise()
    assert not foreign(flow)
    finished(flow, 3)
    ours = address(flow)

    # One that is started besides is ended, and clients find ours again.
    execute(flow, CAN_YOU_DIG_IT, "server", "start", "--host", f"zeo://{flow.directory}/example")
    wait_until(lambda: address(flow) == ours and not foreign(flow), "it is ours again")
    assert dig(flow, "runs", "info").count("FINISHED") == 3

    # Where Motoko runs no server, BlackDynamite does.
    assert flow.motoko("kill").returncode == 0
    done = execute(flow, sys.executable, "-c", POST)
    assert "3 3.0 FINISHED" in done.stdout, done.stderr
    assert foreign(flow) == {SERVER}
    assert "stopped BlackDynamite's ZEO server" in flow.motoko("kill", "--aggressive").stdout


def test_a_launch_daemon_is_not_disturbed(flow):
    dig(flow, "jobs", "create")
    dig(flow, "launch_daemon", "--start", "-d")
    refused = flow.motoko("supervise", "--detach")
    assert refused.returncode == 1 and not flow.daemons(), refused.stdout
    assert "launch daemon" in refused.stderr and "--takeover" in refused.stderr
    assert foreign(flow) == {SERVER, LAUNCHER}
    assert not [*Path(os.environ["TMPDIR"]).glob("motoko-*/*")], "it has left its directory"
    assert "launch daemon" in flow.supervise("--takeover")
    assert not foreign(flow)


def test_an_orchestrator_of_0_1_4_in_a_terminal(flow):
    """It is no daemon, and holds the workflow's variables as long as it runs."""
    (flow.directory / "orchestrator.py").write_text(AWAITING)
    old = [str(public_venv() / "bin" / "motoko"), "orchestrator", "start", "--run_name", "a"]
    process = subprocess.Popen(old, cwd=flow.directory, stdout=subprocess.DEVNULL)
    try:
        wait_until((flow.directory / ".wf" / "wf.db.lock").exists, "it has begun")
        assert foreign(flow) == {ORCHESTRATOR}
        refused = flow.motoko("supervise", "--detach")
        assert f"0.1.4's orchestrator (pid {process.pid})" in refused.stderr, refused
        workflow = Workflow(flow.path)
        with pytest.raises(MotokoError, match=r"wf\.db is in use"):
            workflow.vars.begun = False
        assert "0.1.4's orchestrator" in flow.motoko("kill").stdout
        process.wait(10)
    finally:
        process.kill()
        process.wait()
    flow.supervise()
    # One of ours is none, however it is started.
    ours = flow.begin("orchestrator", "start", "--run_name", "a")
    wait_until(lambda: list((flow.directory / ".wf" / "orchestrators").glob("*.json")), "it runs")
    assert not foreign(flow)
    ours.terminate()
    ours.wait(20)


def test_files_that_are_removed_under_a_server(flow):
    flow.supervise()
    dig(flow, "reset")
    wait_until(lambda: "removed or replaced" in flow.log("zeo:example"), "it ends")
    wait_until(lambda: "no database" in flow.log("zeo:example"), "it says why it does not start")


def test_create_ends_a_server_whose_database_it_removes(flow):
    dig(flow, "jobs", "create")
    assert foreign(flow) == {SERVER}
    assert flow.motoko("create", "--validated").returncode == 0
    assert not foreign(flow)
