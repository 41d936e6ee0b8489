"""Orchestrators are killed between any two commits, again and again: nothing tells afterwards.

``MOTOKO_KILLS`` is how many deaths there are, ``MOTOKO_CAMPAIGN_SEED`` the seed of their moments.
The final database is that of an orchestrator that nobody has disturbed: jobs, runs, states,
dependencies; and each run was executed once.
"""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from public_motoko import VERSION, public_source
from support import Flow, wait_until

from motoko.config import load
from motoko.control.study_access import opened
from motoko.reports.orchestrator_states import collect

KILLS = int(os.environ.get("MOTOKO_KILLS", "20"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
MOMENTS = 8  # a life gets no further
INJECT = Path(__file__).parent / "inject"
# Lives are so short here that many end before the supervisor has seen them ready.
RESTARTS = "supervisor: {backoff_min: 0.1, backoff_max: 0.1, attempts: 1000}\nslots: 4\n"
STUDIES = ("first", "second", "third")

# A chain of `first` with a fan of `second` at each of its links; what has FINISHED is forwarded by
# an action, which gives each fan its sum in `third`.
ORCHESTRATOR = """\
import asyncio
from motoko import event

LINKS, WIDTH = 4, 3


@event
async def forward(workflow, runs, **params):
    for run, job in runs:
        fan = [f for f, j in workflow.second.select(f"link = {job.x}")]
        run.state = "FORWARDED"
        run.dependencies = [f"second.{each.id}" for each in fan]
        for each in fan:
            each.state = "FORWARDED"
        workflow.third.createTask(x=job.x, after=fan)


async def main(workflow, **params):
    before = []
    for link in range(LINKS):
        before = await workflow.first.createTask(x=link, after=before)
        await workflow.second.createTask(x=list(range(WIDTH)), link=link, after=before)
        setattr(workflow.vars, f"links {workflow.run_name}", link)
    workflow.add_action(
        "forward", task="first", event=lambda run, job: run.state == "FINISHED", f=forward
    )
    await workflow.first.select().all("state = FORWARDED")
    await workflow.third.createTask(x=list(range(LINKS)))
    workflow.finished = True
"""


def plain(workflow) -> Flow:
    """A workflow of three studies whose runs are instant."""
    flow = workflow(studies=STUDIES, created=False)
    managers = "".join(f"  {study}:\n" for study in STUDIES)
    text = f"task_managers:\n{managers}orchestrator: orchestrator.main\nfinish: on-exit\n"
    flow.path.write_text(text + RESTARTS)
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    for study in STUDIES:
        (flow.directory / study / "doIt.py").unlink()
        (flow.directory / study / "launch.sh").write_text(': > "exec-$$"\n')
    for study, link in zip(STUDIES, ("", "  link: int\n", ""), strict=True):
        text = f"study: {study}\njob:\n  x: int\n{link}"
        (flow.directory / study / "bd.yaml").write_text(text)
    flow.create()
    return flow


def content(flow, run_name):
    """What a run_name has made, without the numbers that the order of commits has given."""
    config = load(flow.path)
    jobs, runs = {}, []
    for name, study in config.studies.items():
        with opened(config, study, read_only=True) as base:
            for run in base.all_runs():
                if run.entries["run_name"] != run_name:
                    continue
                job = base.jobs.entries[run.entries["job_id"]]
                values = sorted((k, str(v)) for k, v in job.entries.items() if k != "id")
                jobs[f"{name}.{run.entries['id']}"] = (name, *values)
                depends = getattr(run, "dependencies", [])
                runs.append((jobs[f"{name}.{run.entries['id']}"], run.entries["state"], depends))
                directory = Path(run.entries["run_path"])
                assert run["attempt"] == len(list(directory.glob(".motoko/attempt-*"))) == 1
                assert len(list(directory.glob("exec-*"))) in (0, 1), directory
    # Whatever else is in the database, no run is another's.
    return Counter((job, state, tuple(sorted(map(jobs.get, d)))) for job, state, d in runs)


def start(flow, run_name, *options, kills=0):
    """Start an orchestrator in the background, with deaths before it."""
    lives = flow.directory / f"lives-{run_name}"
    fault = f"{SEED}-{run_name}-{flow.directory.name}:{MOMENTS}:{kills}:{lives}"
    done = flow.motoko(
        *("orchestrator", "start", "--detach", "--run_name", run_name, *options),
        MOTOKO_FAULT_ORCHESTRATOR=fault,
        PYTHONPATH=str(INJECT),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return lives


def await_end(flow, run_name):
    def ended():
        found = {each.run_name: each for each in collect(load(flow.path))}[run_name]
        return found if found.state in ("ended", "failed", "stopped") else None

    found = wait_until(ended, f"{run_name} has ended", timeout=60 + 10 * KILLS)
    assert found.background.exit_code == 0, found
    return found


def test_a_chain_with_fans(workflow):
    """Several at a time, on the same databases."""
    flow = plain(workflow)
    flow.supervise()
    start(flow, "calm")
    await_end(flow, "calm")
    expected = content(flow, "calm")
    assert sum(expected.values()) == 4 + 12 + 4
    deaths = Counter()
    number = 0
    while sum(deaths.values()) < 3 * KILLS // 4:
        number += 1
        names = [f"{number}-{each}" for each in "ab"]
        lives = {name: start(flow, name, kills=KILLS // 2) for name in names}
        for name, file in lives.items():
            found = await_end(flow, name)
            moments = file.read_text().splitlines() if file.exists() else []
            assert found.background.restarts == len(moments)
            deaths.update(moments)
            assert content(flow, name) == expected
    print(f"seed {SEED}: {sum(deaths.values())} deaths: {dict(deaths)}")
    assert content(flow, "calm") == expected


@pytest.fixture(scope="module")
def example():
    """The example of the public motoko 0.1.4."""
    return public_source("motoko", VERSION) / "examples"


def test_the_example_of_motoko_0_1_4(example, tmp_path, nothing_left):
    expected, killed, number = None, 0, 0
    while killed < KILLS // 4 or expected is None:
        # It expects runs 1 and 2 to be its own: each time in a fresh place.
        flow = Flow(tmp_path / f"wf{number}", ("mult", "add", "norm"))
        shutil.copytree(example, flow.directory)
        with open(flow.path, "a") as file:
            file.write(RESTARTS)
        flow.create()
        try:
            flow.supervise()
            kills = 15 if number else 0
            lives = start(flow, "example", "--inputs", "2.1", "3.1", kills=kills)
            await_end(flow, "example")
            found = content(flow, "example")
        finally:
            assert flow.motoko("kill", "--now").returncode == 0
        deaths = lives.read_text().splitlines() if lives.exists() else []
        print(f"{len(deaths)} deaths: {dict(Counter(deaths))}")
        assert found == (expected or found)
        expected = found
        killed += len(deaths)
        number += 1
    assert sum(expected.values()) == 4 + 3 + 1
