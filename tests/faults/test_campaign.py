"""Full speed, random faults, lost messages: every transition is told, and every await ends.

``MOTOKO_CAMPAIGN_S`` is how long it lasts (seconds), ``MOTOKO_CAMPAIGN_SEED`` its seed.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from oracle import first_difference, transitions
from support import wait_until

from motoko.bus.dispatcher import Dispatcher
from motoko.config import load
from motoko.control.client import ask
from motoko.control.protocol import StatusRequest
from motoko.host.identity import Identity
from motoko.layout import locate

HERE = Path(__file__).parent
STUDIES = ("a", "b", "c")
WRITERS, ORCHESTRATORS = 4, 8
SECONDS = float(os.environ.get("MOTOKO_CAMPAIGN_S", "60"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
VICTIMS = ("watcher", "watcher", "bus", *(f"zeo:{study}" for study in STUDIES))
FROZEN_MAX_S = 3.0
SHARE = 0.02  # of the messages are dropped, doubled or late, each
CATCH_UP_S = 60.0


class Roles:
    """The processes of ``roles.py``."""

    def __init__(self, directory):
        self.directory = directory
        self.processes = {}

    def start(self, role, count):
        for number in range(count):
            command = [sys.executable, "-P", str(HERE / "roles.py"), role]
            with open(self.directory / f"{role}-{number}.log", "w") as log:
                self.processes[role, number] = subprocess.Popen(
                    [*command, str(self.directory), str(number), str(count)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def ended(self, role):
        of_role = [process for (kind, _), process in self.processes.items() if kind == role]
        return all(process.poll() is not None for process in of_role)

    def have_awaited(self):
        return all(
            (self.directory / f"awaited-{number}").exists() or process.poll() is not None
            for (kind, number), process in self.processes.items()
            if kind == "orchestrator"
        )

    def results(self, role):
        found = {}
        for (kind, number), process in self.processes.items():
            if kind == role:
                log = (self.directory / f"{role}-{number}.log").read_text()
                assert process.returncode == 0, f"{role} {number}: {log}"
                text = (self.directory / f"{role}-{number}.json").read_text()
                found[number] = json.loads(text)
                assert "error" not in found[number], f"{role} {number}: {text[:500]}\n{log}"
        return found


@pytest.fixture
def flow(workflow):
    flow = workflow(studies=STUDIES)
    yield flow
    for what in ("orchestrator", "writer", "catching-up"):
        (flow.directory / f"stop-{what}").touch()


class Chaos:
    """Kills and freezes daemons by a seed, until it is told to end."""

    def __init__(self, flow, seed):
        self.rng = random.Random(seed)
        self.runtime = locate(load(flow.path))
        self.done = []
        self.ending = asyncio.Event()

    async def go(self):
        while not self.ending.is_set():
            await self.pause(self.rng.uniform(0.2, 3.0))
            name = self.rng.choice(VICTIMS)
            pid = self.pid(name)
            identity = None if pid is None else Identity.of(pid)
            if identity is None:
                continue
            if self.rng.random() < 0.6:
                identity.signal(signal.SIGKILL)
                self.done.append(f"kill {name}")
            else:
                identity.signal(signal.SIGSTOP)
                await self.pause(self.rng.uniform(0.1, FROZEN_MAX_S))
                identity.signal(signal.SIGCONT)
                self.done.append(f"freeze {name}")

    async def pause(self, seconds):
        try:
            await asyncio.wait_for(self.ending.wait(), seconds)
        except TimeoutError:
            return

    def pid(self, name):
        status = ask(self.runtime, StatusRequest())
        daemon = status.daemon(name) if status else None
        return daemon.pid if daemon and daemon.state == "ready" else None


async def record(flow, told, ready, stop, newest):
    """Note every transition of every study, until what is newest is known."""
    dispatcher = Dispatcher(
        locate(load(flow.path)), STUDIES, lambda study: None, after=dict.fromkeys(STUDIES, "0" * 16)
    )
    dispatcher.listeners.append(
        lambda event: told[event.study].append((event.tid, event.run_id, event.old, event.new))
    )
    try:
        await dispatcher.live()
        ready.set()
        await stop.wait()
        streams = dispatcher._streams
        async with asyncio.timeout(CATCH_UP_S):
            while any(s.wanted or s.tid < newest[study] for study, s in streams.items()):
                await asyncio.sleep(0.1)
    except TimeoutError:
        state = {study: (s.wanted, s.tid, newest[study]) for study, s in streams.items()}
        raise AssertionError(f"not told of everything within {CATCH_UP_S} s: {state}") from None
    finally:
        dispatcher.close()
    return dispatcher.counters


def last_transactions(flow):
    """The newest tid of each study, by its file."""
    from ZODB.FileStorage import FileStorage

    newest = {}
    for study in load(flow.path).studies.values():
        storage = FileStorage(str(study.directory / ".bd" / "bd.zeo"), read_only=True)
        newest[study.name] = storage.lastTransaction().hex()
        storage.close()
    return newest


def test_everything_is_told_and_every_await_ends(flow):
    injected = {"PYTHONPATH": str(HERE / "inject"), "MOTOKO_FAULT_BUS": f"{SEED}:{SHARE}"}
    done = flow.motoko("supervise", "--detach", "--no-launchers", **injected)
    assert done.returncode == 0, done.stderr
    roles = Roles(flow.directory)
    told = {study: [] for study in STUDIES}
    chaos = Chaos(flow, SEED)

    async def main():
        ready, stop, newest = asyncio.Event(), asyncio.Event(), {}
        recorder = asyncio.create_task(record(flow, told, ready, stop, newest))
        await ready.wait()
        roles.start("writer", WRITERS)
        roles.start("orchestrator", ORCHESTRATORS)
        going = asyncio.create_task(chaos.go())
        began = time.monotonic()
        while time.monotonic() < began + SECONDS and not recorder.done():
            await asyncio.sleep(0.2)
        chaos.ending.set()
        await going
        # The writers last, since they finish what is awaited; then nothing new is to be told.
        for what, is_done in {
            "orchestrator": roles.have_awaited,
            "writer": lambda: roles.ended("writer"),
            "catching-up": lambda: roles.ended("orchestrator"),
        }.items():
            (flow.directory / f"stop-{what}").touch()
            async with asyncio.timeout(3 * CATCH_UP_S):
                while not is_done():
                    await asyncio.sleep(0.2)
        newest.update(last_transactions(flow))
        stop.set()
        return await recorder

    counters = asyncio.run(main())
    wait_until(lambda: flow.state() == "ready", "all daemons are ready again")
    writers, orchestrators = roles.results("writer"), roles.results("orchestrator")
    assert flow.motoko("kill").returncode == 0
    studies = load(flow.path).studies
    truth = {name: transitions(studies[name]) for name in STUDIES}

    print(f"seed {SEED}, {len(chaos.done)} faults: {chaos.done}")
    print({name: len(each) for name, each in truth.items()}, "transitions")
    print("recorder:", asdict(counters))
    for number, each in orchestrators.items():
        print(f"orchestrator {number}: {each['awaits']} awaits, {each['counters']}")
    for name in STUDIES:
        assert told[name] == truth[name], f"{name}: {first_difference(told[name], truth[name])}"
    assert counters.holes == 0
    for number, each in orchestrators.items():
        assert each["awaits"] > 0 and each["counters"]["holes"] == 0
        # What the net may have found first, events have told of: all, once, in order.
        for name in STUDIES:
            seen = [tuple(event) for study, *event in each["told"] if study == name]
            true = [event for event in truth[name] if seen and seen[0] <= event <= seen[-1]]
            assert seen == true, f"orchestrator {number}, {name}: {first_difference(seen, true)}"
    assert sum(each["commits"] for each in writers.values()) > 10 * SECONDS
