"""kill -9 of random daemons and of the supervisor, again and again, while a workflow proceeds.

``MOTOKO_KILLS`` is how many (the runs are half as many more), ``MOTOKO_CAMPAIGN_SEED`` the seed.
"""

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from support import Flow, processes_in, sockets_in, wait_until

from motoko.config import load
from motoko.control.daemon_records import records, supervisor_identity
from motoko.host.files import read_json
from motoko.host.identity import Identity
from motoko.runs.entries import DocumentedEntries

KILLS = int(os.environ.get("MOTOKO_KILLS", "20"))
RUNS = 3 * KILLS // 2
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
STUDIES = ("one", "two", "three")
# Some are killed again and again before they are ready, which is no reason to give them up here.
SETTINGS = "supervisor: {attempts: 1000, backoff_max: 2}\n"
PLAIN = ("one", "two")  # `three` speaks to its server, which may fail an attempt when that dies

# Each execution leaves a file; the exit code tells nothing else.
LAUNCH = 'touch "exec-$$"\nsleep 0.1\n'
DO_IT = """\
import os
from pathlib import Path

import BlackDynamite as BD

Path(f"exec-{os.getpid()}").touch()
run, job = BD.getRunFromScript()
run.start()
run.finish()
"""
ORCHESTRATOR = """\
import asyncio
from pathlib import Path


def populate_arg_parser(parser):
    parser.add_argument("--runs", type=int)


async def main(workflow, runs, **params):
    kills = Path(workflow.directory, "kills")

    async def chain(manager, first):
        for x in range(first, runs // 3, 3):
            # The last one comes after the last kill: until then there is always something to do.
            while kills.stat().st_size < 2 * (x + 1):
                await asyncio.sleep(0.05)
            await manager.createTask(x=float(x))

    await asyncio.gather(
        *(chain(m, first) for m in workflow.task_managers.values() for first in range(3))
    )
    workflow.finished = True
"""


@pytest.fixture
def flow(workflow) -> Flow:
    flow = workflow(studies=STUDIES, created=False)
    managers = "".join(
        f"  {study}:\n" + ("    finish: on-exit\n" if study in PLAIN else "") for study in STUDIES
    )
    text = f"task_managers:\n{managers}\norchestrator: orchestrator.main\nretries: 10\nslots: 4\n"
    flow.path.write_text(text + SETTINGS)
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    for study in PLAIN:
        (flow.directory / study / "launch.sh").write_text(LAUNCH)
    (flow.directory / "three" / "doIt.py").write_text(DO_IT)
    flow.create()
    return flow


class Crew:
    """The daemons, by name: who they are, as their own records say."""

    def __init__(self, flow):
        self.flow = flow
        self.runtime = records(load(flow.path))
        self.known = {}
        self.kills = dict.fromkeys(self.living(), 0)
        self.look()

    def living(self):
        found = {}
        for path in (self.runtime.wf / "daemons").glob("*.json"):
            data = read_json(path)
            identity = Identity.from_dict(data) if data else None
            if identity is not None and identity.alive and data["name"] != "supervisor":
                found[data["name"]] = identity
        return found

    def look(self):
        """Whoever was not killed is who he was."""
        for name, identity in self.living().items():
            before = self.known.setdefault(name, identity)
            assert before == identity, f"{name} was {before}, and is {identity}, without a kill"

    def kill(self, name):
        identity = self.known.pop(name)
        assert identity.signal(signal.SIGKILL)
        self.kills[name] += 1
        wait_until(lambda: not identity.alive, f"{name} is dead")


def test_it_ends_and_every_run_is_finished(flow):
    rng = random.Random(SEED)
    flow.supervise()
    crew = Crew(flow)
    assert len(crew.known) == 2 + 2 * len(STUDIES), crew.known
    kills = flow.directory / "kills"  # tells the orchestrator how many: its size
    kills.touch()
    orchestrator = flow.begin("orchestrator", "start", "--run_name", "a", "--runs", str(RUNS))
    supervisors = 0
    for _ in range(KILLS):
        name = rng.choice(["supervisor", *crew.kills])
        if name == "supervisor":
            supervisors += 1
            identity = supervisor_identity(load(flow.path))
            assert identity is not None and identity.signal(signal.SIGKILL)
            wait_until(lambda identity=identity: not identity.alive, "the supervisor is dead")
            crew.look()
            # What dies meanwhile is started by the next one.
            if rng.random() < 0.5:
                crew.kill(rng.choice(sorted(crew.known)))
            flow.supervise()
        else:
            wait_until(
                lambda name=name: crew.look() or name in crew.known, f"{name} is back", timeout=60
            )
            crew.kill(name)
        crew.look()
        assert orchestrator.poll() is None, orchestrator.communicate()[0]
        with open(kills, "a") as file:
            file.write(".")
    wait_until(lambda: flow.state() == "ready", "all daemons are ready again", timeout=60)
    crew.look()
    assert set(crew.known) == set(crew.kills)
    print(f"seed {SEED}: {supervisors} supervisors and {sum(crew.kills.values())} daemons killed")
    shown = {name: daemon["restarts"] for name, daemon in flow.daemons().items()}
    assert shown == crew.kills, "every death is in ps"

    try:
        out, _ = orchestrator.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the orchestrator waits: {flow.ps()['orchestrators']}")
    assert orchestrator.returncode == 0, out
    executed(flow)
    sockets = records(load(flow.path)).sockets
    assert flow.motoko("kill").returncode == 0
    assert not list(processes_in(flow.directory))
    assert not sockets.exists() and not sockets_in(flow.directory)


def executed(flow):
    """Every run is FINISHED, and was executed as often as attempts are recorded."""
    from motoko.control.study_access import opened

    config = load(flow.path)
    for study in STUDIES:
        with opened(config, config.studies[study], read_only=True) as base:
            runs = list(base.all_runs())
            assert len(runs) == RUNS // 3
            for run in runs:
                entries = DocumentedEntries(run.entries)
                directory = Path(entries["run_path"])
                executions = len(list(directory.glob("exec-*")))
                attempts = len(list(directory.glob(".motoko/attempt-*")))
                assert entries["state"] == "FINISHED", dict(entries.items())
                assert executions == attempts == entries["attempt"], (study, entries["id"])
                if attempts > 1:
                    why = entries["last_failure"]
                    assert (study not in PLAIN) and why == "database connection lost", why
