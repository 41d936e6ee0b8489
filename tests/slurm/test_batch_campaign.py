"""Launchers, supervisor and scheduler are killed and restarted: every run is FINISHED, once.

``MOTOKO_BATCH_RUNS`` is how many runs, ``MOTOKO_CAMPAIGN_SEED`` the seed of their durations and of
the faults.
"""

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from batch import claims, entries, executions
from launching import deadline
from support import wait_until

from motoko.config import load
from motoko.control.daemon_records import records
from motoko.errors import StudyUnavailable
from motoko.host.files import read_json
from motoko.host.identity import Identity
from motoko.workers.launcher.gathering import SPARING_S

RUNS = int(os.environ.get("MOTOKO_BATCH_RUNS", "30"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
# A scheduler that comes back to what it knew some time ago is slow.
FORGOTTEN = max(20, RUNS // 5)
PATIENCE_S = 120 + 4 * RUNS
STUDIES = ("mult", "add")
# Each comes once before any comes twice.
FAULTS = ("launcher:mult", "launcher:add", "supervisor", "slurmctld", "watcher", "slurmctld")
# Few at a time, so that there is time for faults.
ALONE = "finish: on-exit\nslurm_options: [exclusive]\n"
CREATE = """\
import random, sys
from motoko import Workflow

count, seed, studies = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
rng = random.Random(seed)
workflow = Workflow(".")
workflow.run_name = "campaign"
for number in range(count):
    script = f"sleep {rng.uniform(0.0, 2.0):.2f} # {number}"
    workflow.task_managers[studies[number % len(studies)]].createTask(script=script, code="")
"""

FAN = """\
import sys
from motoko import Workflow

workflow = Workflow(".")
workflow.run_name = "fan"
scripts = [f"true # {number}" for number in range(int(sys.argv[1]))]
workflow.task_managers["mult"].createTask(script=scripts, code="")
"""
# They last long enough to be killed.
LONGER_FAN = FAN.replace("true #", "sleep {number % 10 / 5} #")
WARM_FAN = FAN.replace("true #", "python doIt.py #").replace(
    'script=scripts, code=""', '{"python": "warm"}, script=scripts'
)


class Chaos:
    """kill -9 of one of them every few seconds, each then started again."""

    def __init__(self, flow, cluster, outages, count, faults):
        self.faults = faults
        self.flow, self.cluster, self.outages, self.count = flow, cluster, outages, count
        self.rng = random.Random(SEED)
        self.records = records(load(flow.path))
        self.struck, self.due = [], []

    def strike(self):
        self.due = self.due or self.rng.sample(self.faults, len(self.faults))
        name = self.due.pop()
        if name == "slurmctld":
            self.controller()
        elif name == "node":
            node = self.rng.choice(self.cluster.node_names)
            self.cluster.kill_node(node, started=False)
            self.pause(1.0, 8.0)
            self.cluster.wake_node(node)
        elif name == "supervisor":
            os.kill(self.flow.ps()["supervisor"]["pid"], signal.SIGKILL)
            self.flow.supervise()
        else:
            data = read_json(self.records.record(name))
            if not (data and Identity.from_dict(data).signal(signal.SIGKILL)):
                return
        self.struck.append(name)

    def controller(self):
        """Away, or frozen for as long as sbatch waits, and back again."""
        how = self.rng.choice(self.outages)
        getattr(self.cluster, f"{how}_controller")()
        self.pause(1.0, 8.0)
        if how == "freeze":
            self.cluster.thaw_controller()
        else:
            self.cluster.start_controller()
        if how == "kill":
            # Until it has saved what has happened, it would come back to the same moment for ever.
            self.pause(10.0, 15.0)

    def pause(self, least, most):
        end = time.monotonic() + self.rng.uniform(least, most)
        wait_until(lambda: time.monotonic() > end, "time for the next fault")

    def until_all_are_finished(self):
        end = time.monotonic() + PATIENCE_S
        seen = Counter()
        while seen != {"FINISHED": self.count}:
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {seen}; {self.struck}"
            self.pause(0.5, 3.0)
            try:
                runs = all_runs(self.flow)
                seen = Counter(run.get("ended_state") or f"{run['state']}, goes on" for run in runs)
            except StudyUnavailable:
                continue
            assert not seen["FAILED"], [
                (run["id"], run["failure_reason"])
                for run in runs
                if run.get("ended_state") == "FAILED"
            ]
            self.cluster.resume_nodes()
            if seen != {"FINISHED": self.count}:
                self.strike()


def all_runs(flow):
    return [run for study in flow.studies for run in entries(flow, study)]


def disturbed(
    batch, cluster, outages, count, yaml=ALONE, faults=FAULTS, studies=STUDIES, create=CREATE
):
    """Have so many runs executed; the workflow, them, what was killed, and how many s it took."""
    flow, _ = batch("--no-launchers", yaml=yaml, studies=studies)
    with deadline(2 * PATIENCE_S):
        command = [sys.executable, "-P", "-c", create, str(count), str(SEED), *studies]
        subprocess.run(command, cwd=flow.directory, check=True, timeout=300)
        flow.supervise()
        began = time.monotonic()
        chaos = Chaos(flow, cluster, outages, count, faults)
        try:
            chaos.until_all_are_finished()
        finally:
            print(f"seed {SEED}: {dict(Counter(chaos.struck))}: {chaos.struck}")
        took = time.monotonic() - began
    runs = all_runs(flow)
    attempts = Counter(run["attempt"] for run in runs)
    print(f"{count} runs in {took:.0f} s; attempts: {dict(attempts)}")
    assert chaos.struck, "nothing was killed"
    # A doIt.py that is killed when it has called finish() is FINISHED, too.
    assert create is WARM_FAN or all(run["exit_code"] == 0 for run in runs)
    return flow, runs, chaos.struck, took


def test_every_run_is_finished_and_executed_once(batch, cluster):
    """Exactly one execution of each, although none may be tried again."""
    _, runs, *_ = disturbed(batch, cluster, ["stop", "freeze"], RUNS)
    for run in runs:
        directory = Path(run["run_path"])
        assert run["attempt"] == 1 and claims(directory) == [1], run
        assert executions(directory) == [run["batch_job_id"]], run


def test_with_a_scheduler_that_forgets(batch, cluster):
    """kill -9 of slurmctld: it has forgotten jobs, and gives their numbers to others.

    Some attempts are lost then before they start, others while they run. None starts twice, and
    no other than those.
    """
    yaml = f"retries: 9\n{ALONE}"
    counted(*disturbed(batch, cluster, ["kill", "freeze"], FORGOTTEN, yaml)[1:])


@pytest.mark.skipif(RUNS < 60, reason="a short campaign has too few runs to be packed")
def test_packs_on_nodes_that_fail(batch, cluster):
    """Nodes are killed, too: what they were executing has another attempt, and nothing else."""
    yaml = f"retries: 9\npack: {{runs: 10, at_once: 2}}\n{ALONE}"
    faults = (*FAULTS, "node", "node")
    counted(*disturbed(batch, cluster, ["kill", "freeze"], RUNS, yaml, faults)[1:])


FANS = {
    "arrays": (LONGER_FAN, "finish: on-exit\n"),
    "packs": (LONGER_FAN, "finish: on-exit\npack: 50\n"),
    "warm": (WARM_FAN, "pack: 50\n"),
}


@pytest.mark.skipif(RUNS < 60, reason="a short campaign is over before much is killed")
@pytest.mark.parametrize("name", FANS)
def test_a_fan_on_nodes_that_fail(batch, cluster, calls, name):
    """All are created at once, and are elements of few arrays; also what is tried again."""
    create, yaml = FANS[name]
    faults = ("launcher:mult", "supervisor", "slurmctld", "node")
    yaml += "retries: 9\n"
    flow, *seen = disturbed(
        batch, cluster, ["kill", "freeze"], RUNS, yaml, faults, ("mult",), create
    )
    runs, struck, took = seen
    submissions, queries = (len(calls.all(program)) for program in ("sbatch", "squeue"))
    jobs = len({job for run in runs for job in executions(Path(run["run_path"]))})
    print(f"{name}: {submissions} sbatch, {jobs} jobs, {queries} squeue")
    again = sum(run["attempt"] - 1 for run in runs)
    # The first one, one if that was lost, one after each pause, and one whenever nothing else goes
    # on: then all that went on was lost.
    losses = struck.count("node") + struck.count("slurmctld")
    packs = 2 + math.log2(1 + took / SPARING_S) + losses
    most = 20 + again if name == "arrays" else packs
    assert 1 <= submissions <= most
    assert "no heartbeat" not in flow.log("supervisor"), "a launcher was busy for too long"
    assert queries <= took / 0.45 + 2 + len(struck)  # a pause is jittered by a tenth
    counted(*seen)


def counted(runs, struck, _):
    """Each attempt was executed once; not those that were killed with their node before."""
    for run in runs:
        directory = Path(run["run_path"])
        started = claims(directory)
        assert started[-1] == run["attempt"], run
        unexecuted = len(started) - len(executions(directory))
        assert 0 <= unexecuted <= (len(started) - 1 if "node" in struck else 0), run
        assert executions(directory)[-1] == run["batch_job_id"] or len(started) > 1, run


@pytest.mark.parametrize(("pack", "most"), [("", 20), ("pack: 50\n", 4)])
def test_a_fan_is_few_submissions(batch, cluster, calls, pack, most):
    """And one query a cycle."""
    flow, _ = batch("--no-launchers", yaml=f"finish: on-exit\n{pack}")
    command = [sys.executable, "-P", "-c", FAN, str(RUNS)]
    with deadline(2 * PATIENCE_S):
        subprocess.run(command, cwd=flow.directory, check=True, timeout=300)
        began = time.monotonic()
        flow.supervise()
        counts = Counter()

        def all_finished():
            counts.clear()
            counts.update(run["state"] for run in entries(flow))
            assert counts == {"FINISHED": RUNS}, counts
            return True

        wait_until(all_finished, "all are FINISHED", timeout=PATIENCE_S)
        took = time.monotonic() - began
    runs = entries(flow)
    submissions, queries = (len(calls.all(name)) for name in ("sbatch", "squeue"))
    jobs = len({run["batch_job_id"] for run in runs})
    print(f"{RUNS} runs in {took:.0f} s: {submissions} sbatch, {jobs} jobs, {queries} squeue")
    assert 1 <= submissions <= most and queries <= took / 0.5 + 2
    for run in runs:
        directory = Path(run["run_path"])
        assert run["attempt"] == 1 and claims(directory) == [1], run
        assert executions(directory) == [run["batch_job_id"]], run
