"""A subscriber that stops reading, and publishers of nonsense: nobody else is harmed."""

import asyncio
import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq
from oracle import first_difference, transitions
from support import wait_until
from watching import ROUND, Events, Listener, Other

from motoko.bus.dispatcher import Dispatcher
from motoko.bus.messages import (
    BadMessage,
    Beat,
    DaemonStatus,
    OrchestratorStatus,
    Replay,
    ReplayRequest,
    Resync,
    SlotsFreed,
    Transition,
    UnknownType,
    decode,
    encode,
)
from motoko.bus.publisher import Publisher
from motoko.bus.subscriber import Subscriber
from motoko.bus.waiters import Interest
from motoko.config import load
from motoko.layout import locate

# More than all queues on the way hold: 100,000 each in the bus and in the subscriber.
MESSAGES = 260_000
AT_ONCE = 5_000  # fewer than the publisher's own queue holds
PART = 200
BUS_MEMORY_MAX = 250e6
DEADLINE_S = 60.0
BEAT_S = 0.2
QUEUE = 100_000
EPOCH = "e" * 16

# Counts what it is told, checks the order, and says how it was woken when it has all.
SUBSCRIBER = """\
import asyncio, json, sys
from dataclasses import asdict
from motoko.config import load
from motoko.bus.dispatcher import Dispatcher
from motoko.bus.waiters import Interest
from motoko.layout import locate


async def main(path, wanted):
    runtime = locate(load(path))
    dispatcher = Dispatcher(runtime, ["fake"], lambda study: None, after={"fake": "0" * 16})
    told, done = [0, 0], asyncio.Event()

    def count(event):
        told[0] += 1
        told[1] += event.run_id != told[0]
        if told[0] == wanted:
            done.set()

    dispatcher.listeners.append(count)
    await dispatcher.live()
    print("live", flush=True)
    await done.wait()
    dispatcher.close()
    print(json.dumps({"told": told[0], "wrong": told[1], **asdict(dispatcher.counters)}))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def flow(workflow):
    """Supervised without launchers. No watcher of ours knows the study `fake`."""
    flow = workflow()
    flow.supervise("--no-launchers")
    return flow


@pytest.fixture
def runtime(flow):
    return locate(load(flow.path))


def transition(number):
    """The so-manieth of the study's transitions: that of the run with this number."""
    return Transition("fake", number, None, "CREATED", f"{number:016x}", EPOCH, number, "a name")


class Teller:
    """Publishes as a watcher does, and replays what it is asked for."""

    def __init__(self, runtime):
        self.publisher = Publisher(runtime.bus_publish)
        assert self.publisher.connected(DEADLINE_S)
        self.count = 0
        self.asked = {}  # (who, which request) -> from which transition on

    def tell(self, count):
        for number in range(self.count + 1, self.count + count + 1):
            self.publisher.send(transition(number))
        self.count += count

    def beat(self):
        self.publisher.send(Beat("fake", f"{self.count:016x}", EPOCH, self.count))

    def answer(self, message):
        if not isinstance(message, ReplayRequest) or (message.to, message.request) in self.asked:
            return
        first = int(message.after, 16) + 1
        self.asked[message.to, message.request] = first
        parts = [
            range(i, min(i + PART, self.count + 1)) for i in range(first, self.count + 1, PART)
        ]
        last = {"done": True, "tid": f"{self.count:016x}", "epoch": EPOCH, "seq": self.count}
        for number, part in enumerate(parts or [range(0)]):
            transitions = [transition(each) for each in part]
            more = last if number >= len(parts) - 1 else {}
            self.publisher.send(
                Replay("fake", message.to, message.request, "one", number, transitions, **more)
            )


def test_a_subscriber_that_does_not_read(flow, runtime):
    """It loses what the queues cannot hold, notices, and asks; nobody else waits for it."""
    pids = flow.pids()
    command = [sys.executable, "-P", "-c", SUBSCRIBER, str(flow.path), str(MESSAGES)]
    slow = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    flow.started.append(slow)
    assert slow.stdout.readline() == "live\n"
    told, slowest = [], []

    async def main():
        teller = Teller(runtime)
        asked = Subscriber(runtime.bus_subscribe, teller.answer)
        asked.subscribe(b"ask.fake.")
        quick = Dispatcher(runtime, ["fake"], lambda study: None)
        quick.listeners.append(lambda event: told.append(event.run_id))
        try:
            await asked.live(DEADLINE_S)
            await quick.live()
            await until(lambda: teller.asked, "it asks for the past")
            slow.send_signal(signal.SIGSTOP)
            while teller.count < MESSAGES:
                before = time.monotonic()
                teller.tell(AT_ONCE)
                await until(lambda: len(told) == teller.count, "the other is told")
                slowest.append(time.monotonic() - before)
            slow.send_signal(signal.SIGCONT)
            async with asyncio.timeout(DEADLINE_S):
                while slow.poll() is None:
                    teller.beat()
                    await asyncio.sleep(BEAT_S)
            return list(teller.asked.values()), quick.counters
        finally:
            quick.close()
            asked.close()
            teller.publisher.close()

    asked, counters = asyncio.run(main())
    result = json.loads(slow.stdout.read())
    print(f"{max(slowest)} s for {AT_ONCE}; bus {memory(pids['bus'])} bytes; {asked=} {result}")
    assert told == list(range(1, MESSAGES + 1)) and counters.gaps == counters.resyncs == 0
    assert max(slowest) < 10 * sorted(slowest)[len(slowest) // 2] + 1, "the other was delayed"
    assert memory(pids["bus"]) < BUS_MEMORY_MAX
    assert result["told"] == MESSAGES and result["wrong"] == 0
    assert result["gaps"] >= 1 and result["holes"] == 0
    assert asked[0] == 1 and 0.9 * QUEUE < asked[1] < MESSAGES - QUEUE // 10, "it has lost nothing"
    assert flow.pids() == pids and flow.state() == "ready"


def test_what_was_held_back_wakes(runtime):
    """Who waits for a study is woken once more when its transitions are told, in order, at last."""
    told = []

    async def main():
        teller, asked = Teller(runtime), []
        asking = Subscriber(runtime.bus_subscribe, asked.append)
        asking.subscribe(b"ask.fake.")
        dispatcher = Dispatcher(runtime, ["fake"], lambda study: None)
        dispatcher.listeners.append(lambda event: told.append(event.run_id))
        try:
            await asking.live(DEADLINE_S)
            with dispatcher.waiting(Interest(studies=["fake"])) as waiter:
                await dispatcher.live()
                teller.tell(1)
                await until(lambda: told, "the first is told")
                for number in (3, 2):
                    teller.publisher.send(transition(number))
                teller.count = 3
                news = []
                while len(news) < 3:
                    news += await waiter.wait(DEADLINE_S)
                await until(lambda: asked, "it asks")
                assert told == [1] and not waiter.event.is_set()
                teller.answer(asked[-1])
                await until(lambda: told == [1, 2, 3], "all are told")
                assert waiter.event.is_set(), "nobody was woken"
        finally:
            dispatcher.close()
            asking.close()
            teller.publisher.close()

    asyncio.run(main())


async def until(condition, what):
    """Let the loop run until a condition holds."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S} s: {what}") from None


def memory(pid):
    """The most that a process has ever had resident, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


SEED = 20260101
BAD = 3_000
TOPICS = [b"run.mult.", b"beat.mult.", b"ask.mult.", b"replay.", b"daemon.", b"slots.", b""]
TOPICS += [b"orchestrator.", b"daemon.supervisor.", b"run.mult.some name.", b"\xff\x00"]
GOOD = [
    Transition("mult", 1, "START", "FINISHED", "1" * 16, EPOCH, 3, "a name", 4, "event"),
    Beat("mult", "1" * 16, EPOCH, 7),
    Resync("mult", "1" * 16, EPOCH, "why not"),
    ReplayRequest("mult", "somebody", 1, "0" * 16),
    Replay("mult", "somebody", 1, "answer", 0, []),
    DaemonStatus("watcher", 1, "ready", "detail", {"studies": 1}),
    SlotsFreed("launcher:mult", 2),
    OrchestratorStatus("name", 1, "host", ["RunList(mult.1)"], 1, 1.0, {"gaps": 0}),
]
NESTED = b'{"type": "run/1", "study": "mult", "x": ' + b"[" * 50_000


def nonsense(rng):
    """Frames that are no message of any version: random ones, and damaged good ones."""
    while True:
        frames = [rng.choice(TOPICS), rng.choice(GOOD)]
        body = bytearray(encode(frames[1])[1])
        match rng.randrange(6):
            case 0:
                body = rng.randbytes(rng.choice([0, 1, 10, 1000]))
            case 1:
                del body[rng.randrange(len(body)) :]
            case 2:
                for _ in range(rng.randrange(1, 8)):
                    body[rng.randrange(len(body))] = rng.randrange(256)
            case 3:
                content = json.loads(body)
                name = rng.choice([each for each in content if each != "type"])
                content[name] = rng.choice([None, [], {}, 1.5, "text", -1, True, {"a": [1]}])
                body = json.dumps(content).encode()
            case 4:
                body = rng.choice([b"{}", b"[]", b"null", b'"run/1"', b"1e999", NESTED])
            case 5:
                frames += [b"more"] * rng.randrange(1, 20)
        frames[1] = bytes(body)
        if rng.random() < 0.05:
            del frames[1:]
        try:
            decode(frames)
        except UnknownType:
            continue
        except BadMessage:
            return frames


@pytest.fixture
def raw(runtime):
    """A socket into the bus that sends whatever it is given."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as raw:
        raw.linger = 1000
        raw.set_hwm(0)
        raw.connect(runtime.bus_publish)
        assert raw.poll(DEADLINE_S * 1000) and raw.recv() == b"\x01"
        yield raw


@pytest.fixture
def listener(flow):
    listener = Listener(flow)
    yield listener
    listener.close()


@pytest.fixture
def other(flow):
    other = Other(flow)
    yield other
    other.close()


def processes(flow):
    return {**flow.pids(), "supervisor": flow.ps()["supervisor"]["pid"]}


def test_nonsense(flow, runtime, raw, listener, other):
    """Counted and dropped, told of once, and everything else goes through."""
    rng = random.Random(SEED)
    before = processes(flow)
    numbers = other.create("mult", [1.0, 2.0])
    events = Events(flow, "--since", "0", "--json")
    for number in range(BAD):
        raw.send_multipart(nonsense(rng))
        if number % 300 == 0:
            other.play("mult", numbers, *ROUND)
            for address in (runtime.bus_publish, runtime.bus_subscribe):
                with socket.socket(socket.AF_UNIX) as stranger:
                    stranger.connect(address.removeprefix("ipc://"))
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        # A first byte that no version of the protocol begins with: others are
                        # read as messages now and then, and counted.
                        stranger.sendall(b"\0" + rng.randbytes(rng.choice([1, 64, 100_000])))
    raw.send_multipart([b"run.mult.", rng.randbytes(5_000_000)])
    wait_until(lambda: listener.everything.bad_messages == BAD + 1, "all are counted")
    told, true = listener.up_to(other, "mult"), transitions(load(flow.path).studies["mult"])
    assert told == true, first_difference(told, true)
    assert len(true) == 2 + 10 * 2 * 3
    events.printed(len(true))
    assert events.history() == true, first_difference(events.history(), true)
    assert listener.counters["gaps"] == listener.counters["resyncs"] == 0
    assert processes(flow) == before and flow.state() == "ready"
    for daemon in ("watcher", "supervisor", "bus"):
        log = flow.log(daemon)
        assert log.count("bad message") <= 1 and len(log.splitlines()) < 30, log[:5000]
    assert "dropped a bad message (further ones are counted)" in flow.log("watcher")
    assert "dropped a bad message (further ones are counted)" in events.said
    assert len(events.said.splitlines()) == 1


def test_other_versions(flow, raw, listener, other, caplog):
    """Messages of versions that are not known are ignored as a whole, and named once each."""
    numbers = other.create("mult", [1.0])
    newer = []
    for message in GOOD:
        topic, body = encode(message)
        content = json.loads(body)
        kind = content["type"].partition("/")[0]
        newer.append((topic, {**content, "type": f"{kind}/2"}))
        newer.append((topic, {"type": f"{kind}/3", "completely": ["different"]}))
    for _ in range(50):
        for topic, content in newer:
            raw.send_multipart([topic, json.dumps(content).encode()])
        other.play("mult", numbers, "STEP", "NEXT")
    told, true = listener.up_to(other, "mult"), transitions(load(flow.path).studies["mult"])
    assert told == true and len(true) == 1 + 2 * 50, first_difference(told, true)
    assert listener.counters["gaps"] == listener.counters["resyncs"] == 0
    assert listener.everything.bad_messages == 0
    assert not [m for m in listener.heard if getattr(m, "reason", "") == "why not"]
    named = [r.getMessage() for r in caplog.records if "are not known here" in r.getMessage()]
    for kind in ("run", "beat", "replay", "daemon"):
        for version in (2, 3):
            count = sum(f"'{kind}/{version}'" in each for each in named)
            assert 1 <= count <= 2, "by each of the listener's two subscribers"
    for kind, daemon in (("ask/2", "watcher"), ("ask/3", "watcher"), ("daemon/2", "supervisor")):
        said = flow.log(daemon)
        assert said.count(f"messages of type '{kind}' are not known here") == 1, said
    assert flow.state() == "ready"
