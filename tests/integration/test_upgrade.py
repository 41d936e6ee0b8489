"""What the version before has made and left running is taken over, with both installed.

The version before comes from the history. Where that is not there (a shallow clone, an archive),
all of this is skipped.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from functools import partial
from pathlib import Path

import pytest
from launching import BD_YAML, DO_IT
from runs import WAITING, release, runs_of, started, states
from support import processes_in, wait_until

from motoko.host.identity import Identity

BEFORE = "1540cc76789a55f10cde25f6c41a343301882e2c"
ROOT = Path(__file__).parents[2]
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
    git = partial(subprocess.run, cwd=ROOT, capture_output=True, check=False)
    place = tmp_path_factory.mktemp("before")
    if not shutil.which("git"):
        pytest.skip("there is no git")
    done = git(
        ["git", "archive", "-o", place / "all.tar", BEFORE, "motoko", "supervisor", "workers"]
    )
    if done.returncode:
        pytest.skip(f"the history does not have {BEFORE}: {done.stderr.decode().strip()}")
    with tarfile.open(place / "all.tar") as archive:
        archive.extractall(place, filter="data")
    for name in ("supervisor", "workers"):
        (place / name).rename(place / "motoko" / name)
    return place


class Both:
    """A workflow, with the commands of the version before and of this one."""

    def __init__(self, flow, place):
        self.flow = flow
        self.environment = {"PYTHONPATH": str(place)}

    def old(self, *arguments):
        return self._checked(self.flow.motoko(*arguments, **self.environment))

    def new(self, *arguments):
        return self._checked(self.flow.motoko(*arguments))

    def old_python(self, code):
        """Execute Python with the version before."""
        command = [sys.executable, "-P", "-c", code]
        environment = {**os.environ, **self.environment}
        options = {"capture_output": True, "text": True, "timeout": 60, "check": False}
        done = subprocess.run(command, cwd=self.flow.directory, env=environment, **options)
        return self._checked(done)

    def orchestrate(self, version, text):
        (self.flow.directory / "orchestrator.py").write_text(text)
        return version("orchestrator", "start", "--run_name", "before")

    def _checked(self, done):
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def both(workflow, before):
    """A study, made by the version before, whose runs are scripts."""
    flow = workflow(created=False)
    study = flow.directory / "mult"
    (study / "bd.yaml").write_text(BD_YAML.format(study="mult"))
    (study / "launch.sh").write_text("__BLACKDYNAMITE__script__\n")
    (study / "doIt.py").write_text(DO_IT)
    both = Both(flow, before)
    where = both.old_python("import motoko.supervisor; print(motoko.__file__)")
    assert str(before) in where, "it is not the version before"
    both.old("create", ".")
    return both


@pytest.fixture
def made(both):
    """Runs of all kinds, made and supervised by the version before; one runs, the others wait."""
    both.old("supervise", "--detach", "--slots", "1")
    both.orchestrate(both.old, MAKING)
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

    output = made.orchestrate(made.new, ASKING)
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


UPGRADED = int(os.environ.get("MOTOKO_UPGRADED_RUNS", "8"))
# Many that talk to the server and say that they were started, and the ones before.
MANY = f"""
async def main(workflow, **params):
    for number in range({UPGRADED}):
        script = "echo $BLACKDYNAMITE_RUN_ID >> ../../started; python doIt.py # " + str(number)
        workflow.mult.createTask({{}}, script=script, code="run.start(); run.finish()")
    workflow.finished = True
"""


def test_upgrading_under_runs(both):
    """Supervisor and daemons are replaced one by one; each run is executed once, and succeeds."""
    flow = both.flow
    both.old("supervise", "--detach", "--slots", "2")
    supervisor, pids = flow.ps()["supervisor"]["pid"], flow.pids()
    both.orchestrate(both.old, MANY)
    wait_until(lambda: started(flow), "they are being executed")
    output = both.new("upgrade", "--all", "--wait", "5m")
    assert flow.ps()["supervisor"]["pid"] != supervisor, output
    assert not set(flow.pids().values()) & set(pids.values()), output
    wait_until(lambda: set(states(flow).values()) == {"FINISHED"}, "all have finished", 300)
    assert sorted(started(flow)) == list(range(1, UPGRADED + 1))
    assert {entries["attempt"] for entries in runs_of(flow).values()} == {1}
    command = Path(f"/proc/{flow.pids()['launcher:mult']}/cmdline").read_bytes()
    assert b"--slots\x002" in command, "its options are lost"
    assert both.new("upgrade") == "everything is of the installed version\n"

    # A run that takes longer keeps its server.
    both.orchestrate(both.new, MAKING)
    wait_until(lambda: started(flow)[-1] > UPGRADED, "one of them waits")
    server = flow.pids()["zeo:mult"]
    output = both.new("upgrade", "--all", "--wait", "1s")
    assert "zeo:mult is as it was: runs of mult are being executed\n" in output
    assert flow.pids()["zeo:mult"] == server
    both.new("kill", "--now")

    # And what a later version has made is not touched.
    for place in (".wf", "mult/.bd"):
        (flow.directory / place / "format").write_text("2\n")
        for command in ("ps", "supervise", "kill", "info"):
            refused = flow.motoko(command)
            assert refused.returncode == 2 and "[newer-workflow]" in refused.stderr, command
        (flow.directory / place / "format").write_text("1\n")
