"""What was awaited and is gone: a launcher that is stopped, a run that is deleted."""

import subprocess

from runs import started, study_base, with_waiting_runs
from support import motoko_command, wait_until

from motoko.store.transactions import commit_now

ORCHESTRATOR = """\
async def main(workflow, **params):
    await workflow.mult.createTask(x=[1.0, 2.0])
"""


def test_told_at_once(workflow, tmp_path):
    flow = workflow()
    with_waiting_runs(flow)
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    flow.supervise("--slots", "1")
    with open(tmp_path / "said", "w") as file:
        command = motoko_command("orchestrator", "start", "-n", "a")
        process = subprocess.Popen(command, cwd=flow.directory, stderr=file, text=True)
    flow.started.append(process)
    wait_until(lambda: started(flow) == [1], "a run is started")
    assert flow.motoko("stop", "launcher:mult").returncode == 0
    said = (tmp_path / "said").read_text
    words = "still waiting for RunList(mult.1, mult.2), but launcher:mult is stopped: `motoko start"
    wait_until(lambda: words in said(), "it is told", 5)
    assert flow.motoko("start", "launcher:mult").returncode == 0
    wait_until(lambda: "all daemons are there again" in said(), "that is told, too", 5)
    with study_base(flow) as base:
        commit_now(base, lambda: base.runs.entries.pop(2))
    assert process.wait(10) == 1
    assert "run mult.2 is deleted: somebody has deleted it while it was awaited" in said()
