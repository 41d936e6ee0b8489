"""The bus: who is welcomed hears everything, garbage harms nobody, and a killed bus is noticed."""

import asyncio
import contextlib
import shutil
import subprocess
import sys

import pytest
import zmq
from support import kill9, wait_until

from motoko.bus.dispatcher import Dispatcher
from motoko.bus.messages import DaemonStatus, SlotsFreed, Transition, encode
from motoko.bus.publisher import Publisher
from motoko.bus.subscriber import Subscriber
from motoko.bus.waiters import Interest
from motoko.config import load
from motoko.control.runtime_directories import prepare

DEADLINE_S = 10.0


class Bus:
    """The worker, and where it is."""

    def __init__(self, path):
        self.path = path
        self.runtime = prepare(load(path))
        self.process = None

    def command(self):
        return [sys.executable, "-P", "-m", "motoko.workers.bus", str(self.path)]

    def start(self):
        self.process = subprocess.Popen(
            self.command(), stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )

    def kill(self):
        kill9(self.process.pid)
        self.process.wait()

    def subscriber(self, heard, on_live=None):
        return contextlib.closing(
            Subscriber(self.runtime.bus_subscribe, heard.append, on_live or (lambda: None))
        )

    def publisher(self):
        publisher = Publisher(self.runtime.bus_publish)
        assert publisher.connected(DEADLINE_S)
        return publisher


@pytest.fixture
def bus(workflow):
    bus = Bus(workflow(created=False).path)
    bus.start()
    yield bus
    bus.process.terminate()
    bus.process.wait(10)
    shutil.rmtree(bus.runtime.sockets)  # what a supervisor does


async def until(condition, what):
    """Let the loop run until a condition holds."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S} s: {what}") from None


def status(number):
    return DaemonStatus("someone", number)


def transition(number):
    return Transition("mult", number, None, "CREATED", f"{number:016x}", "e", number)


def test_the_welcomed_hear_everything_in_order(bus):
    messages = [status(number) for number in range(5000)]

    async def main():
        heard = []
        with bus.subscriber(heard) as subscriber, bus.publisher() as publisher:
            subscriber.subscribe(b"daemon.")
            await subscriber.live(DEADLINE_S)
            for message in messages:
                publisher.send(message)
            await until(lambda: len(heard) == len(messages), "all are heard")
            assert heard == messages
            assert subscriber.bad_messages == 0

    asyncio.run(main())


def test_a_sleeping_subscriber_loses_nothing(bus):
    async def main():
        heard = []
        with bus.subscriber(heard) as subscriber, bus.publisher() as publisher:
            subscriber.subscribe(b"daemon.")
            await subscriber.live(DEADLINE_S)
            for number in range(20_000):  # in one turn of the loop
                publisher.send(status(number))
            await until(lambda: len(heard) == 20_000, "all are heard")

    asyncio.run(main())


def test_all_subscribers_and_publishers(bus):
    async def main():
        heard = [[], [], []]
        with contextlib.ExitStack() as stack:
            for each in heard:
                subscriber = stack.enter_context(bus.subscriber(each))
                subscriber.subscribe(b"daemon.")
                await subscriber.live(DEADLINE_S)
            for number in range(3):
                stack.enter_context(bus.publisher()).send(status(number))
            for each in heard:
                await until(lambda each=each: len(each) == 3, "each hears all")
                assert {message.pid for message in each} == {0, 1, 2}

    asyncio.run(main())


def test_topics(bus):
    async def main():
        heard = []
        with bus.subscriber(heard) as subscriber, bus.publisher() as publisher:
            subscriber.subscribe(b"slots.")
            await subscriber.live(DEADLINE_S)
            publisher.send(status(1))
            publisher.send(SlotsFreed("launcher:a", 1))
            await until(lambda: heard, "the wanted one is heard")
            # Added later, and live when it says so.
            subscriber.subscribe(b"daemon.someone.")
            await subscriber.live(DEADLINE_S)
            publisher.send(DaemonStatus("someone-else", 1))
            publisher.send(status(2))
            publisher.send(SlotsFreed("launcher:a", 2))
            await until(lambda: len(heard) == 3, "the others are heard")
            assert heard == [SlotsFreed("launcher:a", 1), status(2), SlotsFreed("launcher:a", 2)]

    asyncio.run(main())


@pytest.mark.parametrize("times", [1, 3])
def test_killed_bus(bus, times):
    async def main():
        heard, lives = [], []
        with bus.subscriber(heard, lambda: lives.append(len(heard))) as subscriber:
            subscriber.subscribe(b"daemon.", b"slots.")
            await subscriber.live(DEADLINE_S)
            for number in range(times):
                told = len(lives)
                bus.kill()
                bus.start()
                await until(lambda told=told: len(lives) > told, "it is told of the reconnection")
                await subscriber.live(DEADLINE_S)
                with bus.publisher() as publisher:
                    publisher.send(status(number))
                    publisher.send(SlotsFreed("a", number))
                    await until(
                        lambda n=number: len(heard) == 2 * (n + 1), "both topics are live again"
                    )
            assert len(lives) == 1 + times

    asyncio.run(main())


def test_publisher_outlives_the_bus(bus):
    async def main():
        heard = []
        with bus.subscriber(heard) as subscriber, bus.publisher() as publisher:
            subscriber.subscribe(b"daemon.")
            await subscriber.live(DEADLINE_S)
            bus.kill()
            publisher.send(status(1))  # neither blocks nor fails
            bus.start()
            await subscriber.live(DEADLINE_S)
            await until(lambda: publisher.send(status(2)) or heard, "it is heard again")

    asyncio.run(main())


def test_publisher_is_told_that_the_bus_is_back(bus):
    with bus.publisher() as publisher:
        bus.kill()
        assert not publisher.connected(0.2)
        bus.start()
        assert publisher.connected(3.0)


def test_no_bus(bus):
    bus.kill()

    async def main():
        with bus.subscriber([]) as subscriber:
            subscriber.subscribe(b"daemon.")
            with pytest.raises(TimeoutError):
                await subscriber.live(0.2)
            bus.start()
            await subscriber.live(DEADLINE_S)

    asyncio.run(main())


GARBAGE = [
    [b"daemon.", b"garbage"],
    [b"daemon."],
    [b"daemon.", b"{}", b"{}"],
    [b"daemon.", b"\xff\xfe" * 1000],
    [b"daemon.", b'{"type": "daemon/1", "name": 3}'],
    [b"daemon.", b""],
]
DEEP = [b"daemon.", b'{"type": "daemon/1", "name": "a", "pid": 1, "x": ' + b"[" * 100_000]


@pytest.mark.parametrize("garbage", [GARBAGE, [DEEP]], ids=["garbage", "deep"])
def test_garbage_is_counted_and_dropped(bus, garbage):
    async def main():
        heard = []
        with bus.subscriber(heard) as subscriber, zmq.Context() as context:
            subscriber.subscribe(b"daemon.")
            await subscriber.live(DEADLINE_S)
            with context.socket(zmq.XPUB) as raw:
                raw.linger = 500
                raw.connect(bus.runtime.bus_publish)
                assert raw.poll(DEADLINE_S * 1000) and raw.recv() == b"\x01"
                for frames in garbage:
                    raw.send_multipart(frames)
            with bus.publisher() as publisher:
                await until(
                    lambda: subscriber.bad_messages == len(garbage), "all garbage is counted"
                )
                publisher.send(status(1))
                await until(lambda: heard, "good messages are still heard")
        assert heard == [status(1)]
        assert bus.process.poll() is None

    asyncio.run(main())


def test_other_versions_are_ignored_and_told_of_once(bus, caplog):
    newer = [[b"daemon.", b'{"type": "daemon/2", "name": 3}']] * 3 + [
        [b"daemon.", b'{"type": "hologram/1"}']
    ]

    async def main():
        heard = []
        with bus.subscriber(heard) as subscriber, zmq.Context() as context:
            subscriber.subscribe(b"daemon.")
            await subscriber.live(DEADLINE_S)
            with context.socket(zmq.XPUB) as raw:
                raw.linger = 500
                raw.connect(bus.runtime.bus_publish)
                assert raw.poll(DEADLINE_S * 1000) and raw.recv() == b"\x01"
                for frames in newer:
                    raw.send_multipart(frames)
                raw.send_multipart(encode(status(1)))
                await until(lambda: heard, "good messages are still heard")
            assert subscriber.bad_messages == 0

    asyncio.run(main())
    said = [record.getMessage() for record in caplog.records if "not known" in record.getMessage()]
    assert [sum(kind in each for each in said) for kind in ("daemon/2", "hologram/1")] == [1, 1]
    assert len(said) == 2


def test_one_bus_only(bus):
    wait_until(lambda: (bus.runtime.sockets / "bus-in").exists(), "the bus is there")
    second = subprocess.run(bus.command(), capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 75 and "another process is bus" in second.stderr

    async def main():
        with bus.subscriber([]) as subscriber:
            subscriber.subscribe(b"daemon.")
            await subscriber.live(DEADLINE_S)

    asyncio.run(main())


class TestCallbacksThatRaise:
    """A callback's exception is logged, and the following messages are read."""

    def heard(self, bus, on_error=None):
        """What is heard of three messages that come at once, if the first one is badly taken."""
        heard, raised = [], []

        def hear(message):
            heard.append(message)
            if len(heard) == 1:
                raise ArithmeticError("it is odd")

        async def main():
            asyncio.get_running_loop().set_exception_handler(
                lambda loop, context: raised.append(context["exception"])
            )
            with (
                contextlib.closing(
                    Subscriber(bus.runtime.bus_subscribe, hear, on_error=on_error)
                ) as subscriber,
                bus.publisher() as publisher,
            ):
                subscriber.subscribe(b"daemon.")
                await subscriber.live(DEADLINE_S)
                for number in range(3):
                    publisher.send(status(number))
                await until(lambda: len(heard) == 3, "all are heard")
                await asyncio.sleep(0)

        asyncio.run(main())
        assert heard == [status(number) for number in range(3)]
        return raised

    def test_in_the_loop(self, bus):
        (error,) = self.heard(bus)
        assert str(error) == "it is odd"

    def test_with_the_owner(self, bus):
        errors = []
        assert self.heard(bus, errors.append) == []
        assert [str(error) for error in errors] == ["it is odd"]

    def test_a_listener(self, bus, caplog):
        """A listener's exception does not keep waiters and other listeners from being told."""
        heard = []

        def broken(change):
            raise ArithmeticError("it is odd")

        async def main():
            dispatcher = Dispatcher(bus.runtime, ["mult"], lambda study: None)
            dispatcher.listeners += [broken, lambda change: heard.append(change.run_id)]
            with (
                contextlib.closing(dispatcher),
                bus.publisher() as publisher,
                dispatcher.waiting(Interest(studies=["mult"])) as waiter,
            ):
                await dispatcher.live()
                for number in (1, 2):
                    publisher.send(transition(number))
                await until(lambda: heard == [1, 2], "both are told")
                assert [change.run_id for change in await waiter.wait(DEADLINE_S)] == [1, 2]
                assert dispatcher.counters.listener_errors == 2

        asyncio.run(main())
        assert "it is odd" in caplog.text and "run mult.1" in caplog.text

    def test_whoever_waits_for_a_dispatcher_that_has_died(self, bus):
        """Waiting for a dispatcher that has died raises, since nothing would wake the waiter."""

        def broken(study):
            raise ArithmeticError("it is odd")

        async def main():
            with contextlib.closing(Dispatcher(bus.runtime, ["mult"], broken)) as dispatcher:
                with (
                    dispatcher.waiting(Interest(studies=["mult"])) as waiter,
                    pytest.raises(ArithmeticError, match="it is odd"),
                ):
                    await waiter.wait(DEADLINE_S)
                with pytest.raises(ArithmeticError), dispatcher.waiting(Interest()):
                    pass

        asyncio.run(main())
