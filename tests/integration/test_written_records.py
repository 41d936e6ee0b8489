"""With the announcement of a transaction, servers send its records: nobody has to ask for them."""

import contextlib
import os
import queue
import signal

import pytest
from study_clients import Client
from support import wait_until

from motoko.config import load
from motoko.layout import locate
from motoko.store.internals.zeo_sending import SENT_MAX
from motoko.store.server_address import address
from motoko.store.watch_storage import Pushed, WatchStorage

DEADLINE_S = 30.0


@pytest.fixture
def flow(workflow):
    flow = workflow()
    flow.supervise("--no-launchers")
    return flow


@pytest.fixture
def place(flow):
    definition = load(flow.path)
    return definition.studies["mult"], locate(definition)


@pytest.fixture
def client(place):
    with contextlib.ExitStack() as stack:

        def client(*, threadless=False):
            made = Client(*place, threadless=threadless)
            stack.callback(made.close)
            return made

        yield client


@pytest.fixture
def watching(place):
    with contextlib.ExitStack() as stack:

        def watching(events, **options):
            storage = WatchStorage(address(*place), events, **options)
            stack.callback(storage.close)
            return storage

        yield watching


@pytest.mark.parametrize("threadless", [False, True])
def test_clients_read_without_asking(flow, client, threadless):
    writer, reader = client(), client(threadless=threadless)
    writer.write(number=1)
    reader.storage.ping()
    assert reader.read("number") == 1
    writer.write(number=2)
    reader.storage.ping()
    server = flow.pids()["zeo:mult"]
    os.kill(server, signal.SIGSTOP)  # it would not answer
    try:
        assert reader.read("number") == 2
    finally:
        os.kill(server, signal.SIGCONT)
    reader.write(number=3)
    writer.storage.ping()
    assert writer.read("number") == 3


def test_pushes_come_with_all_records_of_a_transaction(client, watching):
    events = queue.SimpleQueue()
    storage = watching(events, wants_records=True)
    plain = queue.SimpleQueue()
    watching(plain)
    writer = client()
    writer.write(first=[1], second={"a": 2})
    push, plain_push = next_push(events), next_push(plain)
    written = storage.written_by(push.oids, push.tid)
    assert dict(push.records) == dict(zip(push.oids, written, strict=True))
    assert (plain_push.tid, plain_push.records) == (push.tid, None)


def test_large_transactions_have_to_be_loaded(client, watching):
    events = queue.SimpleQueue()
    storage = watching(events, wants_records=True)
    writer, reader = client(), client()
    writer.write(large=bytes(SENT_MAX))
    push = next_push(events)
    assert push.records is None and len(storage.written_by(push.oids, push.tid)[0]) > SENT_MAX
    wait_until(lambda: reader.tid == push.tid, "the reader is told", DEADLINE_S)
    assert reader.read("large") == bytes(SENT_MAX)
    writer.write(large=None)
    assert next_push(events).records is not None


def next_push(events):
    while not isinstance(event := events.get(timeout=DEADLINE_S), Pushed):
        pass
    return event
