"""Launchers, what forks runs, and ZEO servers are killed: each attempt is executed exactly once.

``MOTOKO_LAUNCHES`` is how many runs, ``MOTOKO_CAMPAIGN_SEED`` the seed of their widths, durations
and failures, and of the faults. One study has plain programs, one has a doIt.py for which Python is
started, and one is warm.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from launching import all_slots_free, daemon, deadline
from support import wait_until

from motoko.config import load
from motoko.control.daemon_records import records
from motoko.control.study_access import opened
from motoko.errors import StudyUnavailable
from motoko.host.files import read_json
from motoko.host.identity import Identity
from motoko.host.process_limits import stamp_of
from motoko.runs.entries import DocumentedEntries

PLAIN, COLD, WARM = STUDIES = ("a", "b", "c")
WITH_DO_IT = {COLD: "", WARM: "python: warm"}
SLOTS, RETRIES = 4, 5
LAUNCHES = int(os.environ.get("MOTOKO_LAUNCHES", "300"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
IS_LONG = LAUNCHES >= 2000
PATIENCE_S = 60 + LAUNCHES  # a run a second would be very slow
MANY = 20_000 if IS_LONG else 3_000  # runs of a study that all wait
MEASURED = 100
EQUAL = 1000 if IS_LONG else 40  # runs that are executed cold and warm

# Each execution leaves a file of its own, and notes its begin and end in one file for all. A line
# is one write with O_APPEND: the lines are in the order in which it happened.
LAUNCH = """\
claims=(.motoko/attempt-*)
attempt=${#claims[@]}
: > "exec-$attempt-$$"
note() { read -r now _ < /proc/uptime; echo "$1 $now __BLACKDYNAMITE__wide__ $$" >> "$NOTES"; }
note begin
sleep __BLACKDYNAMITE__seconds__
note end
[ "$attempt" -gt __BLACKDYNAMITE__failures__ ]
"""
CALL = "python doIt.py\n"
DO_IT = """\
import os
import sys
import time
from pathlib import Path

import BlackDynamite as BD

attempt = len([*Path(".motoko").glob("attempt-*")])
Path(f"exec-{attempt}-{os.getpid()}").touch()


def note(what):
    now = Path("/proc/uptime").read_text().split()[0]
    notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(notes, f"{what} {now} {job.wide} {os.getpid()}\\n".encode())
    os.close(notes)


run, job = BD.getRunFromScript()
note("begin")
try:
    run.start()
    time.sleep(job.seconds)
    if attempt <= job.failures:
        sys.exit(f"attempt {attempt} fails")
    run["twice"] = 2 * job.number
    run["is_warm"] = "warm_template.py" in Path(f"/proc/{os.getppid()}/cmdline").read_text()
    run["drawn"] = [job.number, {"of": str(job.seconds)}]
    Path("written").write_text(repr([dict(job), sys.argv, __name__, os.getcwd()]))
    print(f"{job.number} of {job.wide}", flush=True)
    run.finish()
finally:
    note("end")
"""
JOB = "job:\n  number: int\n  wide: int\n  seconds: float\n  failures: int\n"
CREATE = """\
import asyncio, json, sys
from motoko import Workflow

async def main():
    for study, jobs in json.load(sys.stdin).items():
        for job in jobs:
            workflow.task_managers[study].createTask({"nproc": job["wide"]}, **job)

workflow = Workflow(".")
workflow.run_name = "campaign"
asyncio.run(main())
"""


@pytest.fixture
def flow(workflow):
    """A workflow of plain studies, and of those in ``WITH_DO_IT``."""

    def make(studies, launch, job, yaml=""):
        flow = workflow(studies=studies, created=False)
        managers = "".join(
            f"  {study}: {{{WITH_DO_IT.get(study, 'finish: on-exit')}}}\n" for study in studies
        )
        text = f"task_managers:\n{managers}orchestrator: orchestrator.main\nslots: {SLOTS}\n"
        flow.path.write_text(f"{text}{yaml}")
        for study in studies:
            directory = flow.directory / study
            (directory / "bd.yaml").write_text(f"study: {study}\n{job}")
            if study in WITH_DO_IT:
                (directory / "launch.sh").write_text(CALL)
                (directory / "doIt.py").write_text(DO_IT)
            else:
                (directory / "launch.sh").write_text(launch)
                (directory / "doIt.py").unlink()
        flow.create()
        return flow

    return make


def create(flow, code, jobs):
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        input=json.dumps(jobs),
        cwd=flow.directory,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def entries(flow, study):
    """The entries of all runs of a study, at this moment, and their jobs' numbers."""
    config = load(flow.path)
    with opened(config, config.studies[study], read_only=True) as base:
        return [
            {**DocumentedEntries(run.entries)}
            | {"number": base.jobs.entries[run.entries["job_id"]].entries["number"]}
            for run in base.all_runs()
        ]


def states(flow):
    return Counter(run["state"] for study in STUDIES for run in entries(flow, study))


class Chaos:
    """kill -9 of launchers every 1 to 3 s, and of ZEO servers and what forks runs now and then."""

    def __init__(self, flow, rng):
        self.flow, self.rng = flow, rng
        self.records = records(load(flow.path))
        self.killed = []
        self.forkers = set()

    def strike(self):
        kind = self.rng.choices(("launcher", "forker", "waiting", "zeo"), (5, 3, 3, 2))[0]
        if kind == "forker":
            self.strike_forkers()
            return
        if kind == "waiting":
            self.strike_waiting()
            return
        names = [f"{kind}:{study}" for study in STUDIES]
        for name in self.rng.sample(names, self.rng.choice([1, 1, 1, 2, 3])):
            data = read_json(self.records.record(name))
            if data and Identity.from_dict(data).signal(signal.SIGKILL):
                self.killed.append(name)

    def strike_forkers(self):
        """Spawners and templates, sometimes with their launchers."""
        too = self.rng.random() < 0.3
        for study in self.rng.sample(STUDIES, self.rng.choice([1, 2, 3])):
            data = read_json(self.records.record(f"launcher:{study}"))
            launcher = data and Identity.from_dict(data)
            if not launcher or not launcher.alive:
                continue
            forkers = children(launcher.pid)
            self.forkers |= forkers
            if too and launcher.signal(signal.SIGKILL):
                self.killed.append(f"launcher:{study}")
            for forker in forkers:
                if forker.signal(signal.SIGKILL):
                    self.killed.append(f"forker:{study}")

    def strike_waiting(self):
        """Wrappers that wait for a turn, and warm runs that were forked ahead."""
        for study in STUDIES:
            data = read_json(self.records.record(f"launcher:{study}"))
            for forker in children(data["pid"]) if data else ():
                for wrapper in children(forker.pid):
                    for process in (wrapper, *children(wrapper.pid)):
                        if self.rng.random() < 0.5 and stamp_of(process.pid) is None:
                            process.signal(signal.SIGSTOP)  # it cannot begin meanwhile
                            waits = stamp_of(process.pid) is None
                            if process.signal(signal.SIGKILL if waits else signal.SIGCONT):
                                self.killed += [f"waiting:{study}"] * waits

    def until_all_are(self, state, count):
        """Go on until all runs are in a state."""
        end = time.monotonic() + PATIENCE_S
        seen = Counter()
        while seen != {state: count}:
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {seen}; {self.killed}"
            pause = time.monotonic() + self.rng.uniform(1.0, 3.0)
            wait_until(lambda pause=pause: time.monotonic() > pause, "time for the next fault")
            try:
                seen = states(self.flow)
            except StudyUnavailable:
                continue  # its server was killed once more
            if seen != {state: count}:
                self.strike()


def children(pid):
    """A process's own: of a launcher its spawner and its templates, of these the wrappers."""
    try:
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    return {identity for child in pids if (identity := Identity.of(int(child)))}


def most_at_once(notes):
    """The largest number of slots that executions have used at one time."""
    now = most = 0
    open_ones = {}
    for line in notes.read_text().splitlines():
        what, _, wide, pid = line.split()
        if what == "begin":
            assert pid not in open_ones, f"{line}: began twice"
            open_ones[pid] = int(wide)
            now += int(wide)
        else:
            now -= open_ones.pop(pid)
        most = max(most, now)
    assert not open_ones, f"never ended: {open_ones}"
    return most


def test_each_attempt_is_executed_once_within_the_slots(flow):
    rng = random.Random(SEED)
    flow = flow(STUDIES, LAUNCH, JOB, f"retries: {RETRIES}\n")
    notes = flow.directory / "notes"
    with open(flow.path, "a") as file:
        file.write(f"environment: {{NOTES: '{notes}'}}\n")
    jobs = {study: [] for study in STUDIES}
    for number in range(LAUNCHES):
        wide, seconds = rng.randint(1, 3), round(rng.uniform(0.0, 0.2), 3)
        job = {"number": number, "wide": wide, "seconds": seconds}
        jobs[rng.choice(STUDIES)].append({**job, "failures": int(rng.random() < 0.1)})

    with deadline(2 * PATIENCE_S):
        flow.supervise("--no-launchers")
        create(flow, CREATE, jobs)
        flow.supervise()
        began = time.monotonic()
        chaos = Chaos(flow, rng)
        try:
            chaos.until_all_are("FINISHED", LAUNCHES)
        finally:
            faults = dict(Counter(chaos.killed))
            print(f"seed {SEED}: {len(chaos.killed)} faults: {faults}; {chaos.killed}")
        took = time.monotonic() - began
        all_slots_free(flow)
        # A launcher that was killed at last records the ends when it is back.
        wait_until(
            lambda: all(run["ended_state"] for study in STUDIES for run in entries(flow, study)),
            "the ends are recorded",
        )

    executed = []
    for study in STUDIES:
        attempts = []
        for run in entries(flow, study):
            directory = Path(run["run_path"])
            claims = sorted(int(p.name.split("-")[1]) for p in directory.glob(".motoko/attempt-*"))
            executions = sorted(int(p.name.split("-")[1]) for p in directory.glob("exec-*"))
            assert claims == executions == list(range(1, run["attempt"] + 1)), (study, run)
            assert run["ended_state"] == "FINISHED"
            if study == PLAIN:
                assert run["exit_code"] == 0  # others may lose their server at their very end
            else:
                assert run["twice"] == 2 * run["number"]
            attempts.append(run["attempt"])
            executed += executions
        wanted = len(jobs[study]) + sum(job["failures"] for job in jobs[study])
        # Nobody but their own exit code fails plain runs; a doIt.py may lose its server.
        assert sum(attempts) == wanted if study == PLAIN else sum(attempts) >= wanted, study
    assert faults, "nothing was killed"
    most = most_at_once(notes)
    print(f"{len(executed)} executions of {LAUNCHES} runs in {took:.0f} s, {most} slots at most")
    assert most <= SLOTS


def test_warm_runs_give_what_cold_ones_give(flow):
    """Results, output and files of many runs that were executed both ways."""
    flow = flow((COLD, WARM), "", JOB)
    with open(flow.path, "a") as file:
        file.write(f"environment: {{NOTES: '{flow.directory / 'notes'}'}}\n")
    job = {"wide": 1, "seconds": 0.0, "failures": 0}
    jobs = [{**job, "number": number} for number in range(EQUAL)]
    with deadline(PATIENCE_S + 2 * EQUAL):
        flow.supervise("--no-launchers")
        create(flow, CREATE, {COLD: jobs, WARM: jobs})
        flow.supervise()

        def are_done():
            return all(
                Counter(run["state"] for run in entries(flow, study)) == {"FINISHED": EQUAL}
                for study in (COLD, WARM)
            )

        wait_until(are_done, "all have finished", timeout=PATIENCE_S + EQUAL)
        all_slots_free(flow)
    are_warm = [sum(run["is_warm"] for run in entries(flow, s)) for s in (COLD, WARM)]
    # The first ones are executed cold, as long as the template loads.
    assert are_warm[0] == 0 and are_warm[1] > EQUAL // 2, are_warm
    cold, warm = (sorted(map(_told, entries(flow, s))) for s in (COLD, WARM))
    assert cold == warm


def _told(run):
    """What a run has left, without what must differ from study to study and from run to run."""
    directory = Path(run["run_path"])
    own = re.compile(rf"{re.escape(str(directory))}|BD-[a-z]-runs|\d+-\d+$")
    files = {
        own.sub("*", str(path.relative_to(directory))): path.stat().st_mode
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith("environment")
    }
    texts = [
        own.sub("*", (directory / name).read_text())
        for name in ("written", f"campaign.o{run['id']}")
    ]
    results = [run[name] for name in ("twice", "drawn", "exit_code", "attempt", "number", "nproc")]
    return run["number"], repr(sorted(files.items())), *texts, repr(results)


def test_a_study_in_which_thousands_wait(flow):
    """It starts its first run soon, and does not become slower while they become fewer."""
    flow = flow(("many",), "true\n", "job:\n  number: int\n")
    code = (
        "import asyncio, json, sys\nfrom motoko import Workflow\n"
        "workflow = Workflow('.')\nworkflow.run_name = 'many'\n"
        "workflow.many.createTask(number=list(range(json.load(sys.stdin))))\n"
    )
    middle = MANY // 2 if IS_LONG else 6 * MEASURED
    with deadline(PATIENCE_S):
        flow.supervise("--no-launchers")
        create(flow, code, MANY)
        began = time.time()
        flow.supervise()
        runs = flow.directory / "many" / "BD-many-runs"

        def claimed(number):
            return (runs / f"run-{number}" / ".motoko" / "attempt-1").stat().st_mtime

        reached = middle + 2 * MEASURED
        wait_until(lambda: claimed(reached), f"run {reached} has started", timeout=PATIENCE_S)
        launcher = daemon(flow, "launcher:many")
        assert launcher["counts"]["queued"] > MANY - reached - 100
        assert launcher["restarts"] == 0, "it was taken for hung"
    first = claimed(1) - began
    paces = [claimed(at + MEASURED) - claimed(at) for at in (MEASURED, middle)]
    print(f"{MANY} wait: the first after {first:.1f} s, {MEASURED} in {paces[0]:.1f} s,")
    print(f"after {middle} in {paces[1]:.1f} s")
    assert first < 30
    assert paces[1] < 3 * paces[0] + 2
