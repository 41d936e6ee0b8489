"""What a crash in the midst of a commit over several studies leaves: creations come first."""

import subprocess
import sys

import pytest
from runs import runs_of

# Changes a run of one study, creates one in another, and is killed when half of it is saved.
DIES = """
import asyncio, os, signal, sys
from ZODB.Connection import Connection
from motoko import Workflow

changed, created = sys.argv[1:3]
workflow = Workflow(".")
workflow.run_name = "a"
workflow.task_managers[changed].createTask(x=1.0)
finish = Connection.tpc_finish

def finishing(self, transaction):
    finish(self, transaction)
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    ((run, _),) = workflow.task_managers[changed].select()
    run.state = "FORWARDED"
    Connection.tpc_finish = finishing
    task = workflow.task_managers[created].createTask(x=2.0)
    assert run.state == "FORWARDED", "a pending change is seen"
    await task

asyncio.run(main())
"""


@pytest.mark.parametrize("order", [("add", "mult"), ("mult", "add")])
def test_creations_are_saved_first(workflow, order):
    flow = workflow(studies=("add", "mult"))
    flow.supervise("--no-launchers")
    changed, created = order
    done = subprocess.run(
        [sys.executable, "-P", "-c", DIES, changed, created],
        cwd=flow.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    assert [run["state"] for run in runs_of(flow, created).values()] == ["CREATED"]
    # The handler that has done this is called again.
    assert [run["state"] for run in runs_of(flow, changed).values()] == ["CREATED"]
