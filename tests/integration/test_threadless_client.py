"""A ZEO client without a thread: it hears its server in the event loop, and finds it again."""

import asyncio
import contextlib
import os
import threading

import pytest
from arrivals import descriptors
from study_clients import Client
from support import kill9, wait_until
from ZEO.Exceptions import ClientDisconnected

from motoko.config import load
from motoko.errors import StudyUnavailable
from motoko.layout import locate

DEADLINE_S = 30.0


@pytest.fixture
def clients(workflow):
    """A supervised workflow, and its study's clients: a usual one, and one without a thread."""
    flow = workflow()
    flow.supervise("--no-launchers")
    definition = load(flow.path)
    with contextlib.ExitStack() as stack:
        both = []
        for threadless in (False, True):
            study = definition.studies["mult"]
            both.append(Client(study, locate(definition), threadless=threadless))
            stack.callback(both[-1].close)
        yield flow, *both


async def until(condition):
    """Wait without any call to the server."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def test_it_has_no_thread_and_leaves_nothing(clients):
    flow, _, client = clients
    definition = load(flow.path)
    study, runtime = definition.studies["mult"], locate(definition)
    files, threads = descriptors(os.getpid()), threading.active_count()

    async def joined():
        another.storage.join(asyncio.get_running_loop())
        another.write(here=1)
        another.close()

    for _ in range(3):
        another = Client(study, runtime, threadless=True)
        another.write(here=0)
        assert threading.active_count() == threads
        asyncio.run(joined())
    assert descriptors(os.getpid()) == files
    client.storage.ping()
    assert client.read("here") == 1


def test_it_hears_of_commits_between_calls(clients):
    _, usual, client = clients
    heard = []
    client.storage.announce = lambda tid, oids: heard.append(tid)

    async def main():
        client.storage.join(asyncio.get_running_loop())
        for number in range(5):
            usual.write(number=number)
            await until(lambda: client.tid == usual.tid)
            assert heard[-1] == usual.tid and client.read("number") == number
            client.write(answer=number)
            usual.storage.ping()
            assert usual.read("answer") == number

    asyncio.run(main())
    assert len(heard) == 5  # of its own commits it is not told


def test_it_finds_its_server_again(clients):
    """Killed while it waits, while it works, and with news that it has missed."""
    flow, usual, client = clients

    async def main():
        client.storage.join(asyncio.get_running_loop())
        kill9(flow.pids()["zeo:mult"])
        await until(lambda: not client.storage.is_connected())
        usual.storage.ping()  # waits for the next server
        usual.write(number=1)
        await until(lambda: client.storage.is_connected() and client.tid == usual.tid)
        assert client.read("number") == 1
        kill9(flow.pids()["zeo:mult"])
        client.storage.ping()
        client.write(number=2)
        usual.storage.ping()
        assert usual.read("number") == 2

    asyncio.run(main())


def test_it_hears_of_commits_without_any_loop(clients):
    """As in a script that looks again and again, or in a loop that is kept busy."""
    _, usual, client = clients

    async def busy():
        client.storage.join(asyncio.get_running_loop())
        look(2)

    def look(number):
        usual.write(number=number)
        wait_until(lambda: client.tid == usual.tid, "it hears of the commit", DEADLINE_S)
        assert client.read("number") == number

    look(1)
    asyncio.run(busy())
    look(3)


def test_other_threads_may_use_it(clients):
    flow, usual, client = clients
    others = networking_threads()

    async def main():
        client.storage.join(asyncio.get_running_loop())
        client.write(first=1)
        assert networking_threads() == others
        await asyncio.to_thread(client.write, second=2)
        assert networking_threads() > others
        assert client.read("second") == 2
        usual.storage.ping()
        usual.write(third=3)
        await until(lambda: client.tid == usual.tid)
        await asyncio.gather(*(asyncio.to_thread(client.storage.ping) for _ in range(20)))
        kill9(flow.pids()["zeo:mult"])
        client.storage.ping()
        client.write(fourth=4)

    asyncio.run(main())
    usual.storage.ping()
    assert [usual.read(name) for name in ("first", "second", "third", "fourth")] == [1, 2, 3, 4]
    client.close()
    assert networking_threads() == others


def networking_threads():
    return {thread for thread in threading.enumerate() if "zeo client" in thread.name}


@pytest.mark.parametrize("joined", [False, True])
def test_it_survives_an_interrupt(clients, joined):
    """One that comes when a message has been received and not been understood yet."""
    _, usual, client = clients

    def interrupt(tid, oids):
        client.storage.announce = None
        raise KeyboardInterrupt

    async def main():
        if joined:
            client.storage.join(asyncio.get_running_loop())
        client.storage.announce = interrupt
        usual.write(number=1)
        with pytest.raises(KeyboardInterrupt):
            while client.storage.announce is not None:
                client.storage.ping()
        client.storage.ping()
        assert client.tid == usual.tid and client.read("number") == 1
        client.write(number=2)

    asyncio.run(main())
    usual.storage.ping()
    assert usual.read("number") == 2


def test_a_forked_child_leaves_it_to_its_parent(clients):
    _, usual, client = clients

    async def main():
        client.storage.join(asyncio.get_running_loop())
        usual.write(number=1)  # the socket has something to read
        if (child := os.fork()) == 0:
            with contextlib.suppress(BaseException):
                client.storage._server._turn()  # as the loop's copy would
                with contextlib.suppress(StudyUnavailable, ClientDisconnected):
                    client.write(large=bytes(1 << 20))
                client.storage._server.loop.__del__()  # as at the interpreter's exit
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        await until(lambda: client.tid == usual.tid)
        client.write(answer=2)
        await asyncio.to_thread(client.storage.ping)  # from now on its loop has a thread

    asyncio.run(main())
    usual.storage.ping()
    assert (usual.read("number"), usual.read("large"), usual.read("answer")) == (1, None, 2)
