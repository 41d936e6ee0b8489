"""What the watcher tells: every transition, in order, whatever becomes of runs and databases.

Another process writes; a subscriber that wants all from the beginning is compared with what was
written, or with the database's own log.
"""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from oracle import first_difference, transitions
from support import kill9, wait_until
from watching import ROUND, Events, Listener, Other, awaited, database, steps, told_of
from ZODB.FileStorage import FileStorage
from ZODB.serialize import referencesf
from ZODB.utils import p64, u64

from motoko import Workflow
from motoko.bd.create import create_study
from motoko.bus.messages import Beat, OrchestratorStatus, Resync
from motoko.config import load

ATTEMPT_S, ATTEMPTS = 5.3, 2.1  # how long the watcher waits for a server that is away
KILL_EVERY_S = 2.5  # else the supervisor makes pauses between restarts
LEAF = 30  # entries that fit into one record; BlackDynamite's trees split then
ROOT_SPLITS = 7500  # and from here on they are three levels high


@pytest.fixture
def flow(workflow, request):
    """Supervised without launchers; the watcher's log must show no failure of its own."""
    flow = workflow(studies=getattr(request, "param", ("mult",)))
    flow.supervise("--no-launchers")
    yield flow
    assert "watching failed" not in flow.log("watcher"), flow.log("watcher")


@pytest.fixture
def other(flow):
    other = Other(flow)
    yield other
    other.close()


@pytest.fixture
def listener(flow):
    listener = Listener(flow)
    yield listener
    listener.close()


@pytest.fixture
def orchestrator(flow):
    """A workflow object in this process."""
    workflow = Workflow(flow.path)
    workflow.run_name = "here"
    yield workflow
    workflow._close()


def true(flow, study="mult"):
    return transitions(load(flow.path).studies[study])


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
    done = flow.motoko("clean", "--delete")
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
    Workflow._close(orchestrator)
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
    """What was pushed while nobody could hear it is read from the log: nothing is missing."""
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


def replace_database(flow, study, source):
    """Put another file in the place of a database that may be served."""
    target = database(flow, study)
    copy = target.with_suffix(".new")
    shutil.copy(source, copy)
    copy.replace(target)
    target.with_name("bd.zeo.index").unlink(missing_ok=True)


class TestDatabases:
    """Packed, created anew, replaced by an older copy."""

    def test_packed_by_a_client(self, flow, other, listener):
        numbers = other.create("mult", [1.0, 2.0])
        other.play("mult", numbers, *ROUND, times=5)
        before = listener.up_to(other, "mult")
        assert before == true(flow)
        other.pack("mult")
        other.play("mult", numbers, "START")
        told = listener.up_to(other, "mult")
        assert told[: len(before)] == before
        assert told_of(told[len(before) :]) == [(n, "FORWARDED", "START") for n in numbers]
        assert listener.counters["holes"] == 0
        self.a_late_one_is_told_of_the_hole(flow, other, numbers)
        # Where the pack has left the history, it is told.
        after = Listener(flow, after=before[-1][0])
        try:
            assert after.up_to(other, "mult")[:2] == told[len(before) :]
            assert after.counters["holes"] == 0
        finally:
            after.close()

    def a_late_one_is_told_of_the_hole(self, flow, other, numbers):
        late = Listener(flow)
        try:
            late.up_to(other, "mult")
            assert late.counters["holes"] == 1
            other.play("mult", numbers, "FINISHED")
            told = told_of(late.up_to(other, "mult"))
            assert told[-2:] == [(n, "START", "FINISHED") for n in numbers]
            assert late.counters["holes"] == 1
        finally:
            late.close()
        events = Events(flow, "--since", "0")
        gone = "mult: a part of the history is gone, transitions may be missing\n"
        wait_until(lambda: events.said == gone, "it says that some are missing")

    def test_packed_while_nobody_serves_it(self, flow, other, listener):
        """Not even the watcher's checkpoint is in the log then."""
        numbers = other.create("mult", [1.0, 2.0])
        other.play("mult", numbers, *ROUND)
        listener.up_to(other, "mult")
        other.close()
        watcher = flow.pids()["watcher"]
        os.kill(watcher, signal.SIGSTOP)
        assert flow.motoko("kill", "--bd_study", "mult").returncode == 0
        storage = FileStorage(str(database(flow, "mult")))
        storage.pack(time.time() + 1, referencesf)
        storage.close()
        kill9(watcher)
        flow.motoko("supervise", "--no-launchers")
        after = Other(flow)
        try:
            after.play("mult", numbers, "START")
            told = listener.up_to(after, "mult")
            assert told_of(told)[-2:] == [(n, "FORWARDED", "START") for n in numbers]
            self.a_late_one_is_told_of_the_hole(flow, after, numbers)
        finally:
            after.close()

    def test_a_transaction_that_was_cut_off(self, flow, other, listener):
        """A server that was killed while it wrote one calls it the newest, and has it not."""
        numbers = other.create("mult", [1.0, 2.0])
        other.play("mult", numbers, *ROUND)
        before = listener.up_to(other, "mult")
        resyncs = listener.of_type(Resync, "mult")
        assert flow.motoko("kill", "--bd_study", "mult").returncode == 0
        file = database(flow, "mult")
        content = file.read_bytes()
        last = bytearray(content[-u64(content[-8:]) - 8 :])
        last[:8] = p64(u64(last[:8]) + (1 << 20))
        last[16:17] = b"c"
        file.write_bytes(content + last)
        file.with_name("bd.zeo.index").unlink()
        flow.motoko("supervise", "--no-launchers")
        late = Listener(flow)
        try:
            wait_until(lambda: len(late.told["mult"]) == len(before), "it is told of the past")
            other.play("mult", numbers, "START")
            assert late.up_to(other, "mult") == listener.up_to(other, "mult") == true(flow)
            assert late.counters["holes"] == listener.counters["holes"] == 0
            assert listener.of_type(Resync, "mult") == resyncs
        finally:
            late.close()

    @pytest.mark.parametrize("how", ["stopped", "killed"])
    def test_created_anew(self, flow, other, listener, how, workflow):
        numbers = other.create("mult", [1.0, 2.0, 3.0])
        other.play("mult", numbers, *ROUND)
        listener.up_to(other, "mult")
        other.close()
        if how == "stopped":
            assert flow.motoko("kill", "--bd_study", "mult").returncode == 0
            create_study(load(flow.path).studies["mult"])
            flow.motoko("supervise", "--no-launchers")
        else:
            replace_database(flow, "mult", database(workflow("fresh"), "mult"))
            kill9(flow.pids()["zeo:mult"])
        wait_until(lambda: listener.of_type(Resync, "mult"), "it notices")
        assert "mult: read anew: the database was replaced by another" in flow.log("watcher")
        self.works(flow, listener)

    def works(self, flow, listener, states=(None, "CREATED")):
        """Whoever comes now finds what is in the new database, and is told of what happens."""
        workflow, other = Workflow(flow.path), Other(flow)
        workflow.run_name = "after"
        try:
            created = workflow.mult.createTask(x=9.0)
            asyncio.run(
                awaited(workflow, created, lambda: other.play("mult", [created[0][0].id], *ROUND))
            )
            number = created[0][0].id
            told = listener.up_to(other, "mult")
            assert told_of(told, number)[-4:] == steps(number, *states, *ROUND)
        finally:
            workflow._close()
            other.close()

    def test_no_database_in_the_file(self, flow, other, listener):
        """The watcher says so once, and goes on when there is one."""

        def unwatched():
            return [beat for beat in listener.of_type(Beat, "mult") if not beat.connected]

        other.close()
        kept = shutil.copy(database(flow, "mult"), flow.directory / "kept")
        replace_database(flow, "mult", "/dev/null")
        kill9(flow.pids()["zeo:mult"])
        wait_until(lambda: len(unwatched()) > 8, "it has tried again and again")
        assert 1 <= flow.log("watcher").count("mult: not watched") <= 2, flow.log("watcher")
        replace_database(flow, "mult", kept)
        kill9(flow.pids()["zeo:mult"])
        self.works(flow, listener)


CHECKPOINTS = {
    "missing": None,
    "empty": "",
    "cut short": '{"tid": "03',
    "no object": "[1, 2]",
    "no tid": '{"database": "DATABASE"}',
    "no tid but text": '{"tid": "x", "database": "DATABASE"}',
    "a short tid": '{"tid": "00", "database": "DATABASE"}',
    "a number": '{"tid": 3, "database": "DATABASE"}',
    "before all": '{"tid": "0000000000000001", "database": "DATABASE"}',
    "in between": '{"tid": "BETWEEN", "database": "DATABASE"}',
    "in the future": '{"tid": "7fffffffffffffff", "database": "DATABASE"}',
    "another database": '{"tid": "NEWEST", "database": "0123456789abcdef"}',
    "no text": b"\xff\xfe\x00",
}


AT_ONCE = 5
CHECKED = tuple(f"study{number}" for number in range(AT_ONCE))


@pytest.mark.parametrize("flow", [CHECKED], indirect=True)
def test_checkpoints(flow, other, listener):
    """A watcher that cannot use its predecessor's checkpoint: nothing is missing all the same."""
    files = {study: database(flow, study).with_name("watcher.json") for study in CHECKED}
    numbers = {study: other.create(study, [1.0, 2.0]) for study in CHECKED}
    rest = list(CHECKPOINTS.values())
    while rest:
        newest = {study: other.tid(study) for study in CHECKED}
        for study, file in files.items():
            wait_until(lambda n=newest[study], f=file: n in f.read_text(), f"{study} is checked")
        pid = flow.pids()["watcher"]
        os.kill(pid, signal.SIGSTOP)
        for study, file in files.items():
            other.play(study, numbers[study], *ROUND)
            known = json.loads(file.read_text())
            file.unlink()
            content = rest.pop() if rest else None
            if isinstance(content, str):
                between = f"{int(newest[study], 16) + 1:016x}"
                words = {"DATABASE": known["database"], "NEWEST": newest[study]}
                for word, value in {**words, "BETWEEN": between}.items():
                    content = content.replace(word, value)
                content = content.encode()
            if content is not None:
                file.write_bytes(content)
        kill9(pid)
        for study in CHECKED:
            told, truth = listener.up_to(other, study), true(flow, study)
            assert told == truth, f"{study}, {len(rest)} left: {first_difference(told, truth)}"
    assert listener.counters["holes"] == 0


@pytest.mark.parametrize("flow", [("mult", "old", "away")], indirect=True)
def test_a_studys_trouble_is_not_anothers(flow, other, listener):
    """One study's server is stopped, another's killed again and again; then it is an older one."""
    (old,), numbers = other.create("old", [1.0]), other.create("mult", [1.0, 2.0])
    backup = shutil.copy(database(flow, "old"), flow.directory / "backup")
    other.play("old", [old], "START", "FINISHED")
    listener.up_to(other, "old")
    assert flow.motoko("kill", "--bd_study", "away").returncode == 0
    kill9(flow.pids()["watcher"])

    slowest, epochs, threads, next_kill = 0.0, 0, [], 0.0
    log, began = flow.log("watcher"), time.monotonic()
    while time.monotonic() < began + ATTEMPTS * ATTEMPT_S:
        count, before = len(listener.told["mult"]), time.monotonic()
        other.play("mult", numbers, *ROUND)
        wait_until(lambda count=count: len(listener.told["mult"]) == count + 6, "they are told")
        if epochs == (epochs := len({each.epoch for each in listener.told["mult"]})):
            slowest = max(slowest, time.monotonic() - before)
        pids = flow.pids()
        threads.append(thread_count(pids["watcher"]))
        if "zeo:old" in pids and time.monotonic() > next_kill:
            kill9(pids["zeo:old"])
            next_kill = time.monotonic() + KILL_EVERY_S
    assert slowest < 3, f"a transition of another study took {slowest} s"
    said = flow.log("watcher").removeprefix(log)
    assert said.count("away: not watched") == 1, said
    few = max(threads[: len(threads) // 2])
    wait_until(lambda: thread_count(pids["watcher"]) <= few, f"no thread is left, as in {threads}")

    replace_database(flow, "old", backup)
    resyncs = len(listener.of_type(Resync, "old"))
    kill9(wait_until(lambda: flow.pids()["zeo:old"], "it is back"))
    wait_until(lambda: len(listener.of_type(Resync, "old")) > resyncs, "the older one is watched")
    after = Other(flow)
    try:
        after.play("old", [old], "START")
        assert told_of(listener.up_to(after, "old"))[-1] == (old, "CREATED", "START")
        flow.motoko("supervise", "--no-launchers")
        (number,) = after.create("away", [1.0])
        assert told_of(listener.up_to(after, "away")) == [(number, None, "CREATED")]
    finally:
        after.close()


def thread_count(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])


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
