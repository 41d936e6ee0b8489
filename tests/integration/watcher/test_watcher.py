"""What the watcher tells: every transition, in order, whatever becomes of runs and databases.

Another process writes; a subscriber that wants all from the beginning is compared with what was
written, or with the database's own log.
"""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from oracle import first_difference
from support import kill9, wait_until
from watched_studies import true
from watching import ROUND, Listener, awaited, steps, told_of

from motoko import Workflow
from motoko.bus.messages import OrchestratorStatus

LEAF = 30  # entries that fit into one record; BlackDynamite's trees split then


ROOT_SPLITS = 7500  # and from here on they are three levels high


@pytest.fixture
def orchestrator(flow):
    """A workflow object in this process."""
    workflow = Workflow(flow.path)
    workflow.run_name = "here"
    yield workflow
    workflow.close()


def test_moments(flow, other, listener, orchestrator):
    """3,000 transitions back to back: all are told, and awaits see what lasted a moment."""
    created = orchestrator.mult.createTask(x=[float(i) for i in range(100)])
    numbers = []

    def play():
        numbers.extend(run.id for run, _ in created)
        other.play("mult", numbers, *ROUND)

    asyncio.run(awaited(orchestrator, created, play))
    other.play("mult", numbers[:10], *ROUND, times=90)
    told = listener.up_to(other, "mult")
    assert len(told) == 100 + 3 * 100 + 3 * 900
    assert told == true(flow), first_difference(told, true(flow))
    assert listener.counters["gaps"] == listener.counters["holes"] == 0


def test_large_runs(flow, other, listener):
    """Runs that were large when the watcher began, and those that grow while it watches."""

    def entries(count):
        return {f"{letter}{i:04}": i for i in range(count // 2) for letter in "az"}

    old, at_once, one_by_one, huge = other.create("mult", [1.0, 2.0, 3.0, 4.0])
    other.play("mult", [old], {**entries(2 * LEAF), "state": "START"})
    restart_watcher(flow)
    other.play("mult", [old], "FINISHED", entries(8 * LEAF), "FORWARDED")
    other.play("mult", [at_once], {**entries(2 * LEAF), "state": "START"}, "FINISHED")
    for number, (name, value) in enumerate(entries(4 * LEAF).items()):
        other.play("mult", [one_by_one], {name: value, "state": ROUND[number % 3]})
    growth = {**entries(2 * ROOT_SPLITS), "state": "START"}
    other.play_plainly("mult", huge, entries(2 * LEAF), growth, "FINISHED", {"z9": 9}, "FORWARDED")

    told = listener.up_to(other, "mult")
    start = (None, "CREATED", "START", "FINISHED")
    assert told_of(told, old) == steps(old, *start, "FORWARDED")
    assert told_of(told, at_once) == steps(at_once, *start)
    assert told_of(told, one_by_one) == steps(
        one_by_one, None, "CREATED", *itertools.islice(itertools.cycle(ROUND), 4 * LEAF)
    )
    assert told_of(told, huge) == steps(huge, *start, "FORWARDED")


def restart_watcher(flow):
    pid = flow.pids()["watcher"]
    kill9(pid)
    wait_until(
        lambda: flow.daemons()["watcher"]["state"] == "ready" and flow.pids()["watcher"] != pid,
        "the watcher is back",
    )


def test_deleted_runs(flow, other, listener):
    """By `motoko clean --delete`, by BlackDynamite, one by one, together, and all there are."""
    numbers = other.create("mult", [float(i) for i in range(150)])
    done = flow.motoko("clean", "--delete", "--constraints", "x > 29.5")
    assert "deleted 120 runs" in done.stdout, done.stderr
    other.delete("mult", numbers[10:30])
    done = flow.motoko("clean", "--delete", "--yes")
    assert "deleted 10 runs" in done.stdout, done.stderr
    (last,) = other.create("mult", [1.0])
    other.play("mult", [last], "START")

    told = listener.up_to(other, "mult")
    for number in numbers:
        cleaned = () if number in numbers[10:30] else ("CLEANING",)
        assert told_of(told, number) == steps(number, None, "CREATED", *cleaned, None)
    assert told_of(told, last) == steps(last, None, "CREATED", "START")
    gone = [event for event in listener.told["mult"] if event.new is None]
    assert len(gone) == 150 and {event.run_name for event in gone} == {None}


def test_many_runs_in_one_commit(flow, other, listener):
    numbers = other.create("mult", [float(i) for i in range(500)])
    other.together("mult", [(number, {"state": "START"}) for number in numbers[::-1]])
    told = listener.up_to(other, "mult", count=1000)
    created, started = told[:500], told[500:]
    assert told_of(created) == [(n, None, "CREATED") for n in numbers]
    assert told_of(started) == [(n, "CREATED", "START") for n in numbers]
    assert len({tid for tid, *_ in created}) == len({tid for tid, *_ in started}) == 1
    assert told == true(flow)


def test_names_in_messages(flow, other, listener, orchestrator):
    """run_name, job_id and event_name, live and replayed; a name that changes is told anew."""

    async def on_square():
        return orchestrator.mult.createTask(x=7.0)

    orchestrator.run_name = "a.b %c é"
    ((run, job),) = asyncio.run(on_square())
    number, job_id = run.id, job.id
    Workflow.close(orchestrator)
    other.play("mult", [number], "START", {"run_name": "renamed", "state": "FINISHED"})
    listener.up_to(other, "mult")
    later = Listener(flow)
    try:
        later.up_to(other, "mult")
    finally:
        later.close()
    for each in (listener, later):
        events = each.told["mult"]
        assert [event.new for event in events] == ["CREATED", "START", "FINISHED"]
        assert [event.run_name for event in events] == ["a.b %c é", "a.b %c é", "renamed"]
        assert {event.job_id for event in events} == {job_id}
        assert {event.event_name for event in events} == {"on_square"}


def test_server_killed_under_a_writer(flow, other, listener, tmp_path):
    """Commits that the watcher could not be told of are read from the log."""
    numbers = other.create("mult", [1.0, 2.0, 3.0])
    other.begin("play_until", "mult", numbers, ROUND, str(tmp_path / "enough"))
    for _ in range(3):
        count = len(listener.told["mult"])
        wait_until(lambda count=count: len(listener.told["mult"]) > count + 50, "it goes on")
        kill9(flow.pids()["zeo:mult"])
    count = len(listener.told["mult"])
    wait_until(lambda: len(listener.told["mult"]) > count + 50, "it goes on")
    (tmp_path / "enough").touch()
    other.end()
    told = listener.up_to(other, "mult")
    assert told == true(flow), first_difference(told, true(flow))
    assert listener.counters["holes"] == 0


def test_server_killed_while_pushes_wait(flow, other, listener):
    """The watcher finds many pushes and, behind them, no server to read from."""
    numbers = other.create("mult", [1.0, 2.0, 3.0])
    pids = flow.pids()
    os.kill(pids["watcher"], signal.SIGSTOP)
    other.play("mult", numbers, *ROUND, times=30)
    kill9(pids["zeo:mult"])
    os.kill(pids["watcher"], signal.SIGCONT)
    told = listener.up_to(other, "mult")
    assert told == true(flow), first_difference(told, true(flow))
    assert len(told) == 3 + 3 * 3 * 30 and flow.pids()["watcher"] == pids["watcher"]


GATED = """\
import time
from pathlib import Path

while not Path("../../../go").exists():
    time.sleep(0.02)
"""


CHAIN = """\
async def main(workflow, **params):
    for x in (1.0, 2.0, 3.0):
        await workflow.mult.createTask(x=[x, x + 0.5])
    workflow.finished = True
"""


SCRIPT = """\
import asyncio
from motoko import Workflow

workflow = Workflow("motoko.yaml")
workflow.run_name = "script"


async def main():
    await workflow.mult.createTask(x=9.0)


asyncio.run(main())
"""


QUIET = ("wakeups_by_safety_read", "gaps", "resyncs", "holes")


def test_a_healthy_workflow_needs_no_net(workflow):
    """Real launchers; `motoko ps` says who waits for what, and nothing was woken by the net."""
    flow = workflow()
    do_it = flow.directory / "mult" / "doIt.py"
    do_it.write_text(GATED + do_it.read_text())
    (flow.directory / "orchestrator.py").write_text(CHAIN)
    flow.supervise("--slots", "4")
    listener = Listener(flow)
    try:
        began = time.time()
        registered = flow.begin("orchestrator", "start", "--run_name", "chain")
        script = subprocess.Popen([sys.executable, "-P", "-c", SCRIPT], cwd=flow.directory)
        flow.started.append(script)

        def waiting():
            found = {each["run_name"]: each for each in flow.ps()["orchestrators"]}
            return found if sum(each["awaits"] or 0 for each in found.values()) == 2 else None

        seen = wait_until(waiting, "ps shows who waits")
        assert {name: (each["registered"], each["pid"]) for name, each in seen.items()} == {
            "chain": (True, registered.pid),
            "script": (False, script.pid),
        }
        runs = {name: {f"mult.{event.run_id}" for event in listener.told["mult"]
                       if event.run_name == name} for name in seen}  # fmt: skip
        for name, each in seen.items():
            (text,) = each["waiting"]
            assert text.startswith("RunList(") and all(run in text for run in runs[name])
            assert began <= each["since"] <= time.time()
        (flow.directory / "go").touch()
        assert registered.wait(30) == 0 and script.wait(30) == 0
        wait_until(lambda: not flow.ps()["orchestrators"], "ps forgets them")

        last = {m.run_name: m for m in listener.heard if isinstance(m, OrchestratorStatus)}
        told = {name: sum(e.run_name == name for e in listener.told["mult"]) for name in seen}
        assert told == {"chain": 6 * 4, "script": 4}  # created, launched, START, FINISHED
        for name, each in last.items():
            assert each.gone and each.awaits == 0 and not each.waiting
            assert 0 < each.counts["wakeups_by_event"] <= told[name]
            assert {key: each.counts[key] for key in QUIET} == dict.fromkeys(QUIET, 0), name
        launcher = flow.daemons()["launcher:mult"]["counts"]
        assert launcher["wakeups_by_event"] > 0
        assert {key: launcher[key] for key in QUIET} == dict.fromkeys(QUIET, 0)
    finally:
        listener.close()
