"""What the version before has made and left running is taken over, with both installed.

The version before comes from the history. Where that is not there (a shallow clone, an archive),
all of this is skipped.
"""

import json
import os
import re
import signal
import time

import pytest
from former_versions import PINNED, Both, NoVersion, sources
from launching import BD_YAML, DO_IT
from runs import WAITING, release, runs_of, started, states
from support import processes_in, wait_until

from motoko.host.identity import Identity

FAR_S = 3600.0

FINISHED, FAILED, RETRIED, PAUSED, FORWARDED, RUNNING, QUEUED, CANCELLED = range(1, 9)
# What the orchestrator of the version before creates, in this order: a script, the code of doIt.py,
# run parameters.
RUNS = f'''\
WAITING = """{WAITING}python doIt.py"""
FAILS_ONCE = "[ -e ../../tried ] || {{ touch ../../tried; exit 4; }}; python doIt.py"
OF_OUR_OWN = 'run.start(); run.finish(); become(state="FORWARDED")'
NORMAL = "run.start(); run.finish()"

RUNS = [
    ("python doIt.py", NORMAL, {{}}),
    ("exit 3", NORMAL, {{}}),
    (FAILS_ONCE, NORMAL, {{"retries": 1}}),
    ("exit 5", NORMAL, {{"retries": 30}}),
    ("python doIt.py", OF_OUR_OWN, {{}}),
    *((f"{{WAITING}} # {{number}}", NORMAL, {{}}) for number in range(3)),
]
'''
MAKING = (
    RUNS
    + """
async def main(workflow, **params):
    for script, code, own in RUNS:
        workflow.mult.createTask(own, script=script, code=code)
    workflow.vars.made = len(RUNS)
    workflow.finished = True
"""
)
# With the same run name as the one before.
ASKING = (
    RUNS
    + """
import json
from motoko import RunFailed

def ids(manager, text):
    return sorted(run.id for run, _ in manager.select(text))

async def main(workflow, **params):
    answers = {text: ids(workflow.mult, text) for text in (
        "attempt = 2", "exit_code = 3", "failure_reason = 'launch.sh ended with exit code 3'",
        "ended_state = FINISHED", "state = FORWARDED", "state = FAILED",
    )}
    answers["vars"] = workflow.vars.made
    # What exists is found, and awaited; nothing is made twice.
    for number in (0, 2, 4):
        script, code, own = RUNS[number]
        await workflow.mult.createTask(own, script=script, code=code)
    answers["failed"] = []
    for script, code, own in (RUNS[1], RUNS[5], RUNS[7]):
        try:
            await workflow.mult.createTask(own, script=script, code=code)
        except RunFailed as error:
            answers["failed"].append(error.run_id)
    print("ANSWERS " + json.dumps(answers))
    workflow.finished = True
"""
)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The version before, as a directory for PYTHONPATH."""
    try:
        return sources(PINNED, tmp_path_factory.mktemp("before"))
    except NoVersion as error:
        pytest.skip(str(error))


@pytest.fixture
def both(workflow, before):
    """A study, made by the version before, whose runs are scripts."""
    flow = workflow(created=False)
    study = flow.directory / "mult"
    (study / "bd.yaml").write_text(BD_YAML.format(study="mult"))
    (study / "launch.sh").write_text("__BLACKDYNAMITE__script__\n")
    (study / "doIt.py").write_text(DO_IT)
    both = Both(flow, before)
    both.old("create", ".")
    return both


def orchestrate(both, version, text):
    both.write_orchestrator(text)
    return version("orchestrator", "start", "--run_name", "before")


@pytest.fixture
def made(both):
    """Runs of all kinds, made and supervised by the version before; one runs, the others wait."""
    both.old("supervise", "--detach", "--slots", "1")
    orchestrate(both, both.old, MAKING)
    wait_until(lambda: started(both.flow) == [RUNNING], "it runs")
    return both


def kinds(flow):
    """The state of each run that has ended, and what its end has left."""
    names = ("state", "ended_state", "attempt", "exit_code")
    everything = runs_of(flow)
    return {
        number: tuple(everything[number].get(name) for name in names)
        for number in (FINISHED, FAILED, RETRIED, FORWARDED)
    }


ENDS = {
    FINISHED: ("FINISHED", "FINISHED", 1, 0),
    FAILED: ("FAILED", "FAILED", 1, 3),
    RETRIED: ("FINISHED", "FINISHED", 2, 0),
    FORWARDED: ("FORWARDED", "FINISHED", 1, 0),
}


def kill_all(flow):
    """kill -9 of all that runs there."""

    def killed():
        living = list(processes_in(flow.directory))
        for identity, _ in living:
            identity.signal(signal.SIGKILL)
        return not living

    wait_until(killed, "all are dead")


def pause(both):
    """Have the version before put off the next attempt of a run."""
    both.old_python(
        "import time, transaction\n"
        "from motoko import Workflow\n"
        "workflow = Workflow('motoko.yaml')\n"
        "workflow.run_name = 'before'\n"
        f"((run, _),) = workflow.mult.select('runs.id = {PAUSED}')\n"
        f"run['retry_at'] = time.time() + {FAR_S}\n"
        "transaction.commit()\n"
        "workflow._execution.close()\n"
    )


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_was_made_before(made, how):
    flow = made.flow
    pause(made)
    if how == "stopped":
        made.old("kill", "--now")
    else:
        kill_all(flow)

    # Without a supervisor.
    assert "FORWARDED" in made.new("info")
    assert json.loads(made.new("info", "--json"))
    assert "exit code 3" in made.new("explain", f"mult.{FAILED}")
    assert "tried again at" in made.new("explain", f"mult.{PAUSED}")

    made.new("supervise", "--detach", "--slots", "1")
    for number in range(1, 9):
        made.new("explain", f"mult.{number}")
        assert json.loads(made.new("explain", "--json", f"mult.{number}"))
    wait_until(lambda: RUNNING in _ended(flow), "the one that ran has been settled")
    made.new("cancel", f"mult.{CANCELLED}")
    release(flow)
    wait_until(lambda: states(flow)[QUEUED] == "FINISHED", "it has waited for its turn")
    assert kinds(flow) == ENDS
    assert states(flow)[CANCELLED] == "FAILED"
    assert runs_of(flow)[PAUSED]["state"] == "CREATED"
    assert runs_of(flow)[PAUSED]["retry_at"] > time.time() + FAR_S / 2

    output = orchestrate(made, made.new, ASKING)
    answers = json.loads(re.search("ANSWERS (.*)", output)[1])
    assert RETRIED in answers["attempt = 2"]
    assert answers["exit_code = 3"] == [FAILED]
    assert answers["failure_reason = 'launch.sh ended with exit code 3'"] == [FAILED]
    assert {FINISHED, RETRIED, FORWARDED, QUEUED} <= set(answers["ended_state = FINISHED"])
    assert answers["state = FORWARDED"] == [FORWARDED]
    assert {FAILED, CANCELLED} <= set(answers["state = FAILED"])
    assert answers["vars"] == 8
    assert answers["failed"] == [FAILED, RUNNING, CANCELLED]
    assert len(states(flow)) == 8, "a run was made twice"

    made.new("retry", f"mult.{FAILED}", f"mult.{RUNNING}")
    wait_until(lambda: states(flow)[RUNNING] == "FINISHED", "it was retried")
    wait_until(lambda: runs_of(flow)[FAILED].get("attempt") == 2, "it was retried")
    wait_until(lambda: states(flow)[FAILED] == "FAILED", "it has failed again")
    assert started(flow).count(QUEUED) == 1 and started(flow).count(RUNNING) == 2
    made.new("clean", "--constraints", f"runs.id = {FINISHED}", "--delete")
    assert FINISHED not in states(flow)
    made.new("kill", "--now")
    assert not list(processes_in(flow.directory))


def _ended(flow):
    return {number for number, state in states(flow).items() if state in ("FINISHED", "FAILED")}


@pytest.mark.parametrize("killed", [False, True], ids=["its supervisor", "without supervisor"])
def test_what_runs_is_taken_over(made, killed):
    flow = made.flow
    pids = flow.pids()
    supervisor = flow.ps()["supervisor"]["pid"]
    assert set(pids) == {"zeo:mult", "bus", "watcher", "launcher:mult"}
    assert "FORWARDED" in made.new("info")
    assert "it runs" in made.new("explain", f"mult.{RUNNING}")
    assert json.loads(made.new("explain", "--json", f"mult.{QUEUED}"))
    made.new("cancel", f"mult.{CANCELLED}")
    if killed:
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: Identity.of(supervisor) is None, "the supervisor is dead")
        made.new("info")
        made.new("explain", f"mult.{RUNNING}")
    made.new("supervise", "--detach", "--slots", "1")
    assert flow.pids() == pids, "its daemons were not adopted"
    assert (flow.ps()["supervisor"]["pid"] == supervisor) == (not killed)

    # Each daemon, in turn, is one of this version; what runs is handed on.
    for name in ("launcher:mult", "watcher", "bus", "zeo:mult"):
        made.new("restart", name)
    wait_until(lambda: {d["state"] for d in flow.daemons().values()} == {"ready"}, "all are ready")
    assert not set(flow.pids().values()) & set(pids.values())
    assert started(flow) == [RUNNING]
    release(flow)
    for number in (RUNNING, QUEUED):
        wait_until(lambda number=number: states(flow)[number] == "FINISHED", f"{number} goes on")
    assert sorted(started(flow)) == [RUNNING, QUEUED], "executed twice"
    assert kinds(flow) == ENDS and states(flow)[CANCELLED] == "FAILED"
    made.new("kill", "--now")
    assert not list(processes_in(flow.directory))


def launcher(flow):
    """What the launcher says of itself, in figures."""
    return flow.daemons()["launcher:mult"]["counts"]


@pytest.mark.parametrize("wait", [False, True], ids=["--now", "--wait"])
def test_stopping_what_runs(made, wait):
    """Daemons and supervisor of the version before end at a command of this one."""
    if wait:
        # It knows no pauses: the launcher is told by the command itself, and not twice.
        stopping = made.flow.begin("kill", "--wait")
        wait_until(lambda: launcher(made.flow)["paused"] == 1, "it starts nothing more")
        release(made.flow)
        output, _ = stopping.communicate(timeout=60)
        assert stopping.returncode == 0 and "waiting for 1 run\n" in output, output
    else:
        made.new("kill", "--now")
    assert not list(processes_in(made.flow.directory))
    assert started(made.flow) == [RUNNING]
