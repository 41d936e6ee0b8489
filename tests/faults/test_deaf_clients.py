"""Clients that read nothing any more: the server gives them up before they fill its memory."""

import os

import pytest
from injecting import python_path
from study_clients import Client
from support import wait_until

from motoko.config import load
from motoko.layout import locate

DEADLINE_S = 30.0
BACKLOG = 40_000  # bytes, in place of many megabytes


@pytest.fixture
def clients(workflow):
    """A listener without a thread, which nobody lets read, and a writer."""
    flow = workflow()
    done = flow.motoko(
        *("supervise", "--detach", "--no-launchers"),
        PYTHONPATH=python_path(),
        MOTOKO_FAULT_SERVER=str(BACKLOG),
    )
    assert done.returncode == 0, done.stderr
    definition = load(flow.path)
    study, runtime = definition.studies["mult"], locate(definition)
    listener = Client(study, runtime, threadless=True)
    writer = Client(study, runtime, threadless=False)
    yield flow, listener, writer
    listener.close()
    writer.close()


def served(client):
    """How many clients the server has."""
    return client.storage._call("server_status")["connections"]


def test_it_is_disconnected_and_finds_its_server_again(clients):
    flow, listener, writer = clients
    listener.write(number=0)
    before = served(writer)
    number = 0

    def given_up():
        nonlocal number
        number += 1
        writer.write(number=number, filling=os.urandom(30_000))
        return served(writer) < before

    wait_until(given_up, "the server gives the silent client up", DEADLINE_S)
    assert served(writer) == before - 1
    assert "reads nothing" in flow.log("zeo:mult")
    listener.storage.ping()
    assert listener.read("number") == number
    listener.write(answer=number)
    writer.storage.ping()
    assert writer.read("answer") == number


def test_one_that_loads_much_is_kept(clients):
    """What it has asked for does not count, however long it takes to read it."""
    _, listener, writer = clients
    writer.write(large=os.urandom(8 << 20))
    before = served(writer)
    listener.storage.ping()
    listener.manager.begin()
    assert len(listener.root["large"]) == 8 << 20
    assert served(writer) == before
