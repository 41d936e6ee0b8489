"""Runs that fail, and that nobody was told of: whatever runs an orchestrator tells of them."""

import json

from runs import release
from support import wait_until

LAUNCH = """\
case __BLACKDYNAMITE__x__ in
1.0) exit 3 ;;
3.0) until [ -e ../../go ]; do sleep 0.05; done ;;
esac
"""
ORCHESTRATOR = """\
import asyncio


def populate_arg_parser(parser):
    parser.add_argument("--how", default="")


async def main(workflow, how, **params):
    fired = []
    if how == "action":
        workflow.add_action("a", task="mult", event="state = FAILED", f=lambda **_: fired.append(1))
    if how == "more":
        workflow.mult.createTask(x=3.0)
    await workflow.mult.createTask(x=2.0)
    workflow.mult.createTask(x=1.0)
    if how == "selection":
        await workflow.mult.select("state = FAILED")
    else:
        while not any(run.state == "FAILED" for run, _ in workflow.mult.select()):
            await asyncio.sleep(0.05)
        while how == "action" and not fired:
            await asyncio.sleep(0.05)
    workflow.finished = True
"""


def test_whoever_runs_the_orchestrator(workflow):
    flow = workflow()
    flow.path.write_text(flow.path.read_text() + "finish: on-exit\nslots: 3\n")
    (flow.directory / "mult" / "launch.sh").write_text(LAUNCH)
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    flow.supervise()
    said = "1 run has failed, and nobody has awaited that [unnoticed-failures]\n  mult."
    start = "orchestrator", "start", "--run_name"
    done = flow.motoko(*start, "a", "--how", "more")
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert "has ended, and these runs have not: mult.1; `motoko info`" in done.stderr
    release(flow)
    # An action or an await that is given the failed run is told.
    for how in ("selection", "action"):
        done = flow.motoko(*start, how, "--how", how)
        assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    assert flow.motoko(*start, "far", "--detach").returncode in (0, 1)

    def ended():
        listed = json.loads(flow.motoko("orchestrator", "status", "--json").stdout)
        return next((each for each in listed if each["exit_code"] is not None), None)

    far = wait_until(ended, "the detached one has ended")
    assert far["exit_code"] == 1 and "1 run has failed" in far["error"]
