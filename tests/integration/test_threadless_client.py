"""A ZEO client without a thread: it hears its server in the event loop, and finds it again."""

import asyncio
import contextlib
import os
import threading

import pytest
from arrivals import descriptors
from study_clients import Client
from support import kill9

from motoko.config import load
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
