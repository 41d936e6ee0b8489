"""From motoko 0.1.4 to this one, and back, at any moment of a workflow.

``MOTOKO_UPGRADES`` is how many moments there are, ``MOTOKO_CAMPAIGN_SEED`` their seed. At each the
one that has begun a workflow is stopped, killed, or left running, and the other ends it: each run
was executed once, those that had failed for it and were retried once more, and results and
variables are as they would have been.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from public_motoko import public_venv
from support import Flow, processes_in, wait_until

from motoko.config import load
from motoko.control.study_access import opened
from motoko.runs.entries import DocumentedEntries

UPGRADES = int(os.environ.get("MOTOKO_UPGRADES", "4"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
AT_A_TIME = 4  # most of the time they wait for 0.1.4's polling
STUDIES = ("first", "second")
XS = (1, 2, 3)
LENGTHS_S = {"0.1.4": 20.0, "ours": 6.0}  # how long the workflow takes, about
WAYS = {"0.1.4": ("left", "killed", "stopped"), "ours": ("killed", "left", "stopped")}
PATIENCE_S = 120.0
ROUNDS = 4

ORCHESTRATOR = f"""\
import transaction


def populate_arg_parser(parser):
    pass


async def main(workflow, **params):
    workflow.vars.begun = workflow.run_name
    one = await workflow.first.createTask(x={[*XS]})
    workflow.vars.sum = sum(run.y for run, job in one)
    await workflow.second.createTask(x=[int(run.y) for run, job in one])
    workflow.vars.total = sum(run.y for run, job in workflow.second.select("state = FINISHED"))
    transaction.commit()  # 0.1.4 saves variables with the runs only
    workflow.finished = True
"""
# A line for each execution, outside of the run's directory.
LAUNCH = """\
echo {study} $BLACKDYNAMITE_RUN_ID >> ../../../executed
python doIt.py
"""
DO_IT = """\
import time
import BlackDynamite as BD

LENGTH_S = 1
run, job = BD.getRunFromScript()
run.start()
time.sleep(LENGTH_S)
run["y"] = job.x * 2
run.finish()
"""


@dataclass(frozen=True)
class Moment:
    """When a workflow that one has begun is given to the other, and how."""

    number: int
    begun_by: str
    way: str
    at: float
    choices: random.Random

    @classmethod
    def of(cls, number):
        choices = random.Random(f"{SEED}-{number}")
        begun_by = "0.1.4" if number % 2 == 0 else "ours"
        way = WAYS[begun_by][number // 2 % 3]
        return cls(number, begun_by, way, choices.uniform(0, LENGTHS_S[begun_by]), choices)

    def __str__(self):
        return f"{self.number}: begun by {self.begun_by}, {self.way} at {self.at:.1f} s"


class Old:
    """What a user types with 0.1.4's environment activated."""

    def __init__(self, bin_directory, flow):
        self._directory = flow.directory
        self._environment = {**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}"}

    def command(self, *words):
        """Run to its end; its output goes to a file, which its daemons inherit."""
        with open(self._directory / "old.log", "a+") as output:
            output.write(f"$ {' '.join(words)}\n")
            output.flush()
            options = {**self._options(output), "timeout": PATIENCE_S, "check": False}
            return subprocess.run(words, **options).returncode

    def begin(self, *words):
        """Start what stays in the foreground."""
        with open(self._directory / "old.log", "a") as output:
            return subprocess.Popen(words, **self._options(output), start_new_session=True)

    def _options(self, output):
        return {
            "cwd": self._directory,
            "env": self._environment,
            "stdin": subprocess.DEVNULL,
            "stdout": output,
            "stderr": output,
        }


def start(run_name="a", *options):
    return "orchestrator", "start", "--run_name", run_name, *options


def kill_all(flow, with_runs):
    """kill -9 of all that belongs to the workflow, or of all but its runs."""
    while True:
        doomed = [
            (identity, command)
            for identity, command in processes_in(flow.directory)
            if with_runs or not is_of_run(identity.pid, command)
        ]
        if not doomed:
            return
        for identity, _ in doomed:
            identity.signal(signal.SIGKILL)


def is_of_run(pid, command):
    if "launch_daemon" in command:  # it works in the directory of the run that it executes
        return False
    with contextlib.suppress(OSError):
        return "-runs/run-" in str(Path(f"/proc/{pid}/cwd").readlink())
    return False


def ours_succeeds(flow, *words):
    done = flow.motoko(*words, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def upgrade(flow, old, moment):
    """0.1.4 has begun; ours ends it. Returns how many runs had to be retried."""
    assert old.command("motoko", "launcher") == 0
    is_detached = moment.choices.random() < 0.5
    if is_detached:
        assert old.command("motoko", *start("a", "--detach")) == 0
        orchestrator = None
    else:
        orchestrator = old.begin("motoko", *start())
    time.sleep(moment.at)
    if moment.way == "stopped":
        if orchestrator is None:  # its own `orchestrator stop` always fails
            old.command("zdaemon", "-C", str(flow.directory / ".wf" / "wf.conf"), "stop")
        else:
            orchestrator.send_signal(signal.SIGINT)
            orchestrator.wait(PATIENCE_S)
        assert old.command("motoko", "kill") == 0
    elif moment.way == "killed":
        kill_all(flow, with_runs=moment.choices.random() < 0.5)
    if orchestrator is not None and moment.way != "left":
        orchestrator.wait(PATIENCE_S)
    begun = flow.motoko("supervise", "--detach", timeout=PATIENCE_S)
    # A run that lives on when all others are killed starts a server if it finds none.
    may_be_refused = moment.way != "stopped"
    assert begun.returncode == 0 or may_be_refused, begun
    assert begun.returncode == 1 or moment.way != "left", begun
    if begun.returncode:
        assert "motoko kill" in begun.stderr and "--takeover" in begun.stderr, begun
        takeover = moment.choices.random() < 0.5
        if not takeover:
            ours_succeeds(flow, "kill", "--now")
        flow.supervise(*(["--takeover"] if takeover else []))
    if orchestrator is not None:
        orchestrator.wait(PATIENCE_S)  # it was ended with the others
    retried = 0
    for _ in range(ROUNDS):
        done = flow.motoko(*start(), timeout=PATIENCE_S)
        if done.returncode == 0:
            return retried
        retried += retry(flow, done)
    raise AssertionError(f"still not done: {done.stdout}{done.stderr}")


def retry(flow, done=None):
    """Have the failed runs executed again; each says why it has failed."""
    failed = [
        f"{study}.{entries['id']}"
        for study, runs in all_runs(flow).items()
        for entries in runs
        if entries["state"] == "FAILED"
    ]
    assert failed or done is None, done.stdout + done.stderr
    for run in failed:
        explained = flow.motoko("explain", run)
        assert "retry" in explained.stdout, explained
    if failed:
        ours_succeeds(flow, "retry", *failed)
    return len(failed)


def downgrade(flow, old, moment):
    """Ours has begun; 0.1.4 ends it. Returns how many runs had to be retried."""
    flow.supervise()
    ours_succeeds(flow, *start("a", "--detach"))
    time.sleep(moment.at)
    retried = 0
    if moment.way == "killed":
        kill_all(flow, with_runs=moment.choices.random() < 0.5)
        # What was executing is settled by the next supervisor alone.
        flow.supervise()
        ours_succeeds(flow, "orchestrator", "stop", "--run_name", "a")
        wait_until(lambda: nothing_is_executed(flow), "all is settled", timeout=60)
        retried = retry(flow)
    if moment.way == "left":
        assert old.command("motoko", "launcher") != 0
    ours_succeeds(flow, "kill", "--now")
    assert old.command("motoko", "launcher") == 0
    assert old.command("motoko", *start()) == 0
    return retried


def nothing_is_executed(flow):
    states = {entries["state"] for runs in all_runs(flow).values() for entries in runs}
    return not states & {"START", "launched"}


def all_runs(flow):
    """The entries of each study's runs."""
    config = load(flow.path)
    runs = {}
    for name, study in config.studies.items():
        with opened(config, study, read_only=True) as base:
            runs[name] = [
                {**DocumentedEntries(run.entries)}
                | {"x": base.jobs.entries[run.entries["job_id"]].entries["x"]}
                for run in base.all_runs()
            ]
    return runs


def check(flow, retried):
    """All is as if nobody had disturbed it; those that were retried were executed once more."""
    executed = (flow.directory / "executed").read_text().splitlines()
    runs = all_runs(flow)
    expected = {"first": {x: 2 * x for x in XS}, "second": {2 * x: 4 * x for x in XS}}
    for name, results in expected.items():
        assert {run["x"]: run["y"] for run in runs[name]} == results, runs[name]
        assert len(runs[name]) == len(results), runs[name]
        for run in runs[name]:
            assert run["state"] == "FINISHED", run
            assert f"{name} {run['id']}" in executed, run
    every = [run for name in STUDIES for run in runs[name]]
    again = retried + sum(run.get("interruptions", 0) for run in every)
    assert len(executed) <= len(every) + again, (executed, again)
    code = (
        "from motoko import Workflow; v = Workflow('motoko.yaml').vars\n"
        f"assert (v.begun, v.sum, v.total) == ('a', {2 * sum(XS)}, {4 * sum(XS)}), dir(v)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=flow.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def write(directory):
    """A workflow that 0.1.4 can execute."""
    directory.mkdir(parents=True)
    managers = "".join(f"  {study}:\n" for study in STUDIES)
    (directory / "motoko.yaml").write_text(
        f"task_managers:\n{managers}\norchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text(ORCHESTRATOR)
    for study in STUDIES:
        (directory / study).mkdir()
        (directory / study / "bd.yaml").write_text(f"study: {study}\n\njob:\n  x: int\n")
        (directory / study / "launch.sh").write_text(LAUNCH.format(study=study))
        (directory / study / "doIt.py").write_text(DO_IT)
    return Flow(directory, STUDIES)


@pytest.fixture
def public_bin():
    return public_venv() / "bin"


@pytest.fixture
def created(public_bin):
    """A workflow that 0.1.4 has created, and stopped. Its copies are begun."""
    place = Path(tempfile.gettempdir())  # short: BlackDynamite's sockets are in the studies
    flow = write(place / "w")
    old = Old(public_bin, flow)
    assert old.command("motoko", "create", "--validated", ".") == 0
    assert old.command("motoko", "kill") == 0
    yield flow
    kill_all(Flow(place, STUDIES), with_runs=True)
    shutil.rmtree(flow.directory)


def one(created, public_bin, moment):
    """A moment, in a directory of its own; returns its verdict."""
    place = created.directory.parent / str(moment.number)
    if moment.begun_by == "ours":
        flow = write(place)
        flow.create()
    else:
        # What names the directory is made anew.
        names = shutil.ignore_patterns("*.conf", "*.socket", "*.lock", "*.log")
        shutil.copytree(created.directory, place, ignore=names)
        flow = Flow(place, STUDIES)
    old = Old(public_bin, flow)
    try:
        change = upgrade if moment.begun_by == "0.1.4" else downgrade
        retried = change(flow, old, moment)
        if moment.begun_by == "ours":
            assert old.command("motoko", "kill") == 0
        check(flow, retried)
        verdict = f"{moment}: right, {retried} retried"
    except (AssertionError, subprocess.TimeoutExpired) as error:
        said = (place / "old.log").read_text().splitlines()[-20:]
        verdict = "\n".join([f"{moment}: WRONG: {error}", *said])
    finally:
        flow.motoko("kill", "--now")
        kill_all(flow, with_runs=True)
        shutil.rmtree(place)
    print(verdict, flush=True)
    return verdict


def test_any_moment(created, public_bin):
    moments = [Moment.of(number) for number in range(UPGRADES)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        verdicts = [*pool.map(lambda moment: one(created, public_bin, moment), moments)]
    wrong = [verdict for verdict in verdicts if "WRONG" in verdict]
    print(f"seed {SEED}: {len(verdicts) - len(wrong)} of {len(verdicts)} moments are right")
    assert not wrong, "\n\n".join(wrong)
