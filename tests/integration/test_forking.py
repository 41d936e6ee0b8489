"""Orchestrators whose main forks: what is the parent's stays the parent's."""

from support import wait_until

FORKING = """\
import os, sys, time
from pathlib import Path


async def main(workflow, **params):
    runs = workflow.mult.createTask(x=[1.0, 2.0])  # not saved yet: the study is locked
    if os.fork() == 0:
        os.closerange(1, 3)  # whoever reads what main prints
        while not Path("over").exists():
            time.sleep(0.02)
        os._exit(0)
    careless = os.fork()
    if careless == 0:
        sys.exit(3)  # out through all that has been begun
    print("left with", os.waitstatus_to_exitcode(os.waitpid(careless, 0)[1]))
    print("records:", [file.name for file in Path(".wf/orchestrators").glob("*.json")])
    Path("waits").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    print("runs:", len(runs))
"""


def test_children_of_main(workflow):
    flow = workflow()
    (flow.directory / "orchestrator.py").write_text(FORKING)
    flow.supervise("--no-launchers")
    first = flow.begin("orchestrator", "start", "--run_name", "r")
    wait_until((flow.directory / "waits").exists, "its children have been forked")
    refused = flow.motoko("orchestrator", "start", "--run_name", "r")
    assert refused.returncode != 0 and "running already" in refused.stderr, refused.stderr
    (flow.directory / "go").touch()
    output, _ = first.communicate(timeout=30)
    assert first.returncode == 0, output
    assert "left with 3\n" in output and "records: ['r.json']\n" in output, output
    assert "runs: 2\n" in output and "Traceback" not in output, output
    # One child lives on. It holds neither the run's name nor the study.
    again = flow.motoko("orchestrator", "start", "--run_name", "r", timeout=30)
    (flow.directory / "over").touch()
    assert again.returncode == 0, again.stdout + again.stderr
