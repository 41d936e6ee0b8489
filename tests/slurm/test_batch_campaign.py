"""Launcher, supervisor and scheduler are killed and restarted: every run is FINISHED, once.

``MOTOKO_BATCH_RUNS`` is how many runs, ``MOTOKO_CAMPAIGN_SEED`` the seed of their durations and of
the faults.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from batch import claims, entries, executions
from launching import deadline
from support import wait_until

from motoko.config import load
from motoko.control import records
from motoko.errors import StudyUnavailable
from motoko.identity import Identity
from motoko.runtime import read_json

RUNS = int(os.environ.get("MOTOKO_BATCH_RUNS", "30"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
PATIENCE_S = 120 + 4 * RUNS
STUDIES = ("mult", "add")
# Together with the bus and the watcher, as nothing of Motoko's may be needed for a job to go on.
FAULTS = {"launcher:mult": 4, "launcher:add": 4, "supervisor": 3, "slurmctld": 3, "watcher": 1}
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


class Chaos:
    """kill -9 of one of them every few seconds, each then started again."""

    def __init__(self, flow, cluster):
        self.flow, self.cluster, self.rng = flow, cluster, random.Random(SEED)
        self.records = records(load(flow.path))
        self.struck = []

    def strike(self):
        (name,) = self.rng.choices(list(FAULTS), FAULTS.values())
        if name == "slurmctld":
            self.controller()
        elif name == "supervisor":
            os.kill(self.flow.ps()["supervisor"]["pid"], signal.SIGKILL)
            self.flow.supervise()
        else:
            data = read_json(self.records.record(name))
            if not (data and Identity.from_dict(data).signal(signal.SIGKILL)):
                return
        self.struck.append(name)

    def controller(self):
        """Killed (it forgets its last seconds), ended, or frozen for as long as sbatch waits."""
        how = self.rng.choice(["kill", "stop", "freeze"])
        getattr(self.cluster, f"{how}_controller")()
        self.pause(2.0, 8.0)
        if how == "freeze":
            self.cluster.thaw_controller()
        else:
            self.cluster.start_controller()

    def pause(self, least, most):
        end = time.monotonic() + self.rng.uniform(least, most)
        wait_until(lambda: time.monotonic() > end, "time for the next fault")

    def until_all_are_finished(self):
        end = time.monotonic() + PATIENCE_S
        seen = Counter()
        while seen != {"FINISHED": RUNS}:
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {seen}; {self.struck}"
            self.pause(1.0, 4.0)
            try:
                seen = Counter(run["state"] for run in all_runs(self.flow))
            except StudyUnavailable:
                continue
            assert not seen["FAILED"], [
                (run["id"], run["failure_reason"])
                for run in all_runs(self.flow)
                if "failure_reason" in run
            ]
            if seen != {"FINISHED": RUNS}:
                self.strike()


def all_runs(flow):
    return [run for study in STUDIES for run in entries(flow, study)]


def test_every_run_is_finished_and_executed_once(batch, cluster):
    flow, _ = batch("--no-launchers", yaml="finish: on-exit\nretries: 5\n", studies=STUDIES)
    with deadline(2 * PATIENCE_S):
        command = [sys.executable, "-P", "-c", CREATE, str(RUNS), str(SEED), *STUDIES]
        subprocess.run(command, cwd=flow.directory, check=True, timeout=300)
        flow.supervise()
        began = time.monotonic()
        chaos = Chaos(flow, cluster)
        try:
            chaos.until_all_are_finished()
        finally:
            print(f"seed {SEED}: {Counter(chaos.struck)}: {chaos.struck}")
        took = time.monotonic() - began
    executed = 0
    attempts = Counter()
    for run in all_runs(flow):
        directory = Path(run["run_path"])
        jobs = executions(directory)
        # A controller that was killed has forgotten jobs that ran: those are attempts, too.
        assert claims(directory) == list(range(1, run["attempt"] + 1)), run
        assert len(jobs) == run["attempt"], (run, jobs)
        assert run["ended_state"] == "FINISHED" and run["exit_code"] == 0
        executed += len(jobs)
        attempts[run["attempt"]] += 1
    print(f"{executed} executions of {RUNS} runs in {took:.0f} s; attempts: {dict(attempts)}")
    assert chaos.struck, "nothing was killed"
