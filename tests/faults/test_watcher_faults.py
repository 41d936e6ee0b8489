"""The watcher and its servers killed and frozen at chosen moments: nothing is missing, all wake."""

import asyncio
import gc
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest
from injecting import python_path
from mirrors import path_of
from oracle import first_difference, transitions
from support import kill9, wait_until
from watching import ROUND, Listener, Other, awaited
from ZEO.Exceptions import ClientDisconnected

from motoko import Workflow
from motoko.config import load
from motoko.layout import locate
from motoko.mirror.mirror_file import remove
from motoko.store import watch_storage
from motoko.store.internals.zeo_clients import AT_ONCE
from motoko.store.server_address import address
from motoko.store.watch_storage import CALL_DEADLINE_S, Disconnected, WatchStorage

RUNS = 20
REACHED_S = 30.0
REPLACED_S = 45.0  # silence of 10 s, looked at every 5 or 10 s
DELAY_MAX_S = 3.0


def inject(point, number, name, file):
    """The environment that makes a watcher send itself a signal (see inject/sitecustomize.py)."""
    return {"PYTHONPATH": python_path(), "MOTOKO_FAULT_WATCHER": f"{point}:{number}:{name}:{file}"}


def check(flow, told, study="mult"):
    true = transitions(load(flow.path).studies[study])
    assert told == true, first_difference(told, true)


class Scene:
    """A writer, an orchestrator that awaits runs, and a listener that wants all."""

    def __init__(self, flow):
        self.flow = flow
        self.other, self.listener = Other(flow), Listener(flow)
        self.workflow = Workflow(flow.path)
        self.workflow.run_name = "here"
        self.played = threading.Event()

    def play(self, numbers):
        """Runs are awaited while another process has them FINISHED for a moment."""
        created = self.workflow.mult.createTask(x=[100.0 + i for i in range(10)])

        def play():
            self.other.play("mult", [run.id for run, _ in created], *ROUND)
            self.other.play("mult", numbers, *ROUND)
            self.played.set()

        asyncio.run(awaited(self.workflow, created, play))

    def check(self):
        told = self.listener.up_to(self.other, "mult")
        check(self.flow, told)
        assert self.listener.counters["holes"] == 0

    def close(self):
        self.workflow.close()
        self.listener.close()
        self.other.close()


@pytest.fixture
def scene(workflow):
    """A function that begins a scene with runs that are there, and a watcher with a fault."""
    scenes = []

    def begin(point, number, name):
        flow = workflow()
        flow.supervise("--no-launchers")
        other = Other(flow)
        numbers = other.create("mult", [float(i) for i in range(RUNS)])
        other.close()
        assert flow.motoko("kill").returncode == 0
        if name == "SIGSTOP" or point == "walk":
            # Else it reads nothing, and begins with publishing again what its mirror did not have.
            remove(path_of(flow))
        hit = flow.directory / "hit"
        environment = {**os.environ, **inject(point, number, name, hit)}
        started = flow.begin("supervise", "--detach", "--no-launchers", env=environment)
        if point == "walk":
            wait_until(hit.exists, "the point is reached", REACHED_S)
            if name == "SIGSTOP":
                thaw(flow)
        assert started.wait(60) == 0, started.stdout.read()
        scenes.append(Scene(flow))
        return scenes[-1], numbers, hit

    yield begin
    for each in scenes:
        each.close()


def thaw(flow):
    """Let a watcher that has frozen itself go on."""
    pid = flow.pids()["watcher"]
    wait_until(lambda: stopped(pid), "the watcher is frozen")
    os.kill(pid, signal.SIGCONT)


def stopped(pid):
    return "State:\tT" in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize(
    ("point", "number"), [("publish", 1), ("publish", 45), ("published", 7), ("published", 40)]
)
def test_killed(scene, point, number):
    here, numbers, hit = scene(point, number, "SIGKILL")
    here.play(numbers)
    assert hit.exists()
    here.check()
    watcher = here.flow.daemons()["watcher"]
    assert watcher["restarts"] == 1 and watcher["last_exit"] == "died by SIGKILL"


@pytest.mark.parametrize("number", [1, RUNS])
def test_killed_while_it_reads_all(scene, number):
    here, numbers, _ = scene("walk", number, "SIGKILL")
    here.play(numbers)
    here.check()
    assert here.flow.daemons()["watcher"]["restarts"] == 1


@pytest.mark.parametrize("point", ["publish", "published", "walk"])
def test_frozen(scene, point):
    """And going on when all is written: awaits have been woken by the orchestrator's own net."""
    here, numbers, hit = scene(point, 12, "SIGSTOP")

    def later():
        here.played.wait(REACHED_S)
        thaw(here.flow)

    thread = threading.Thread(target=later)
    if point != "walk":
        thread.start()
    here.play(numbers)
    if point != "walk":
        thread.join(REACHED_S)
    assert hit.exists()
    here.check()
    assert here.flow.daemons()["watcher"]["restarts"] == 0


def test_frozen_and_replaced(scene):
    """The orchestrator's own connection wakes it; the supervisor replaces the watcher."""
    here, numbers, hit = scene("publish", 5, "SIGSTOP")
    began = time.monotonic()
    here.play(numbers)
    assert hit.exists() and time.monotonic() < began + 12, "the safety net is slow"
    assert here.flow.daemons()["watcher"]["restarts"] == 0

    def replaced():
        watcher = here.flow.daemons()["watcher"]
        return watcher if watcher["restarts"] and watcher["state"] == "ready" else None

    watcher = wait_until(replaced, "the supervisor replaces it", REPLACED_S)
    assert watcher["last_exit"] == "no heartbeat for 10 s, killed"
    here.check()


@pytest.mark.parametrize("held", [0, 1])
def test_more_pushes_than_the_queue_holds(workflow, monkeypatch, held):
    """They are dropped, and read from the log when the queue is empty."""
    flow = workflow()
    monkeypatch.setenv("PYTHONPATH", python_path())
    monkeypatch.setenv("MOTOKO_FAULT_QUEUE", str(held))
    flow.supervise("--no-launchers")
    other, listener = Other(flow), Listener(flow)
    try:
        numbers = other.create("mult", [1.0, 2.0])
        other.play("mult", numbers, *ROUND, times=20)
        check(flow, listener.up_to(other, "mult"))
        assert len(listener.told["mult"]) == 2 + 20 * 2 * 3
        counters = listener.counters
        assert counters["gaps"] == counters["holes"] == 0, counters
    finally:
        for each in (other, listener):
            each.close()


def test_a_frozen_server(workflow):
    """It delays no other study, not even a new watcher; it is replaced, and nothing is missing."""
    flow = workflow(studies=("mult", "add"))
    flow.supervise("--no-launchers")
    other, listener, stuck = Other(flow), Listener(flow), Other(flow)
    try:
        numbers = other.create("mult", [1.0, 2.0])
        added = stuck.create("add", [1.0, 2.0])
        pids = flow.pids()
        os.kill(pids["zeo:add"], signal.SIGSTOP)
        stuck.begin("play", "add", added, *ROUND)
        slowest, killed = 0.0, False
        began = time.monotonic()
        while flow.daemons()["zeo:add"]["restarts"] == 0:
            assert time.monotonic() < began + REPLACED_S, "it is not replaced"
            count, before = len(listener.told["mult"]), time.monotonic()
            other.play("mult", numbers, *ROUND)
            wait_until(lambda count=count: len(listener.told["mult"]) == count + 6, "all are told")
            slowest = max(slowest, time.monotonic() - before)
            if not killed and before > began + 5:
                kill9(pids["watcher"])
                killed = True
        assert killed and slowest < DELAY_MAX_S, f"another study's transitions took {slowest} s"
        assert flow.daemons()["zeo:add"]["last_exit"] == "no answer for 10 s, killed"
        stuck.end()
        for study, process, count in (("mult", other, 2), ("add", stuck, 2 + 2 * 3)):
            check(flow, listener.up_to(process, study, count), study)
        assert listener.counters["holes"] == 0
    finally:
        for each in (other, listener, stuck):
            each.close()


def test_calls_to_a_frozen_server_end(workflow, monkeypatch, caplog):
    """What the watcher's connection does: it gives up, can be closed, and a new one works."""
    flow = workflow()
    flow.supervise("--no-launchers")
    give_up(flow, monkeypatch)
    gc.collect()
    assert "never retrieved" not in caplog.text


def give_up(flow, monkeypatch):
    where = address(load(flow.path).studies["mult"], locate(load(flow.path)))
    server = flow.pids()["zeo:mult"]
    first = WatchStorage(where, SimpleQueue())
    newest = first.lastTransaction()
    (root,) = first.at([bytes(8)], newest)
    os.kill(server, signal.SIGSTOP)
    began = time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(watch_storage, "CALL_DEADLINE_S", 0.5)
        patched.setattr(watch_storage, "CONNECT_DEADLINE_S", 0.5)
        for call in (
            lambda: first.at([bytes(8)], newest),
            lambda: next(first.transactions(newest, None)),
            lambda: first._call("ping"),
        ):
            with pytest.raises(TimeoutError):
                call()
        with pytest.raises(ClientDisconnected):
            WatchStorage(where, SimpleQueue())
        first.close()
    assert time.monotonic() < began + 8, "a frozen server holds us up"
    os.kill(server, signal.SIGCONT)

    events = SimpleQueue()
    second = WatchStorage(where, events)
    assert second.at([bytes(8)], newest) == [root]
    os.kill(server, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(second.at, [bytes(8)] * AT_ONCE, newest)
        wait_until(lambda: len(second._server.client.protocol.futures) >= AT_ONCE, "it waits")
        kill9(server)
        with pytest.raises(ClientDisconnected):
            call.result(10)
    while not isinstance(events.get(timeout=5), Disconnected):
        pass
    with pytest.raises(ClientDisconnected):
        second.call_many(CALL_DEADLINE_S, "loadBefore", [(bytes(8), newest)])
    second.close()
