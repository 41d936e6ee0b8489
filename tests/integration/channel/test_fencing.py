"""Attempts that were declared dead, and whose clients are there all the same, or come again."""

import contextlib
import os
import signal

import pytest
import transaction
import ZODB
from arrivals import PATIENCE_S, come_in, let_in
from channel_clients import way_in
from support import wait_until
from ZEO.ClientStorage import ClientStorage
from ZODB.POSException import StorageError

from motoko.channel.greeting import Greeting, NotWelcome
from motoko.runs.fences import fence

FIRST = Greeting(7, "mult", 1, "17", "n1")
SECOND = Greeting(7, "mult", 2, "18", "n2")


@pytest.fixture
def flow(workflow):
    flow = workflow(studies=("mult",), created=False)
    let_in(flow)
    flow.create()
    flow.supervise()
    return flow


def greet(flow, greeting):
    return come_in(flow, **greeting._asdict())


@contextlib.contextmanager
def client(flow, greeting):
    """A connection to the database of a client of another host, and its storage."""
    manager = transaction.TransactionManager(explicit=False)
    with way_in(flow, "zeo-mult", greeting) as address:
        storage = ClientStorage(address, wait_timeout=PATIENCE_S)
        db = ZODB.DB(storage)
        try:
            yield db.open(manager), storage
        finally:
            manager.abort()
            db.close()


def note(connection, value):
    connection.root()["noted"] = value
    connection.transaction_manager.commit()


def noted(connection):
    connection.transaction_manager.begin()
    return connection.root().get("noted")


def test_it_is_not_welcome_any_more(flow):
    for greeting in (FIRST, SECOND, Greeting(None, "", None, "17", "n1")):
        greet(flow, greeting).close()
    fence(flow.directory, "mult", 7, 1, "its node failed")
    with pytest.raises(NotWelcome, match=r"attempt 1 of run .*its node failed") as refused:
        greet(flow, FIRST)
    assert refused.value.fenced
    others = (FIRST._replace(run=8), FIRST._replace(study="add"))
    for greeting in (SECOND, *others, Greeting(None, "", None, "17", "n1")):
        greet(flow, greeting).close()
    # What the server said is in its log once, however often it is asked.
    for _ in range(3):
        with pytest.raises(NotWelcome):
            greet(flow, FIRST)
    assert flow.log("zeo:mult").count("its node failed") == 1


def test_it_is_not_welcome_at_other_studies_either(flow):
    """A run may write into all studies of its workflow."""
    fence(flow.directory, "add", 7, 1, "its node failed")
    with pytest.raises(NotWelcome, match="its node failed"):
        greet(flow, FIRST._replace(study="add"))
    greet(flow, FIRST).close()
    with client(flow, FIRST._replace(study="add", run=8)) as (_, storage):
        fence(flow.directory, "add", 8, 1, "it is lost")
        wait_until(lambda: not storage.is_connected(), "it is cut")


def test_it_commits_nothing_any_more(flow):
    """A declared-dead client's open transaction is refused, too; other clients go on."""
    with client(flow, SECOND) as (second, _), client(flow, FIRST) as (first, _):
        note(first, "before")
        first.root()["noted"] = "of the dead"
        supervisor = flow.ps()["supervisor"]["pid"]
        os.kill(supervisor, signal.SIGSTOP)  # at its questions clients are cut
        try:
            fence(flow.directory, "mult", 7, 1, "its node failed")
            with pytest.raises(StorageError, match="declared dead: its node failed"):
                first.transaction_manager.commit()
        finally:
            os.kill(supervisor, signal.SIGCONT)
        first.transaction_manager.abort()
        assert noted(second) == "before"
        note(second, "of the living")
        assert noted(second) == "of the living"


def test_its_connection_is_cut(flow):
    """An idle one, too: so its relay comes to know of it."""
    with client(flow, SECOND) as (second, other), client(flow, FIRST) as (_, storage):
        assert storage.is_connected()
        fence(flow.directory, "mult", 7, 1, "its node failed")
        wait_until(lambda: not storage.is_connected(), "it is cut")
        assert "job 17 on n1 is not served" in flow.log("zeo:mult")
        note(second, "goes on")
        assert other.is_connected() and noted(second) == "goes on"


def test_after_a_restart_of_the_server_it_is_fenced_still(flow):
    fence(flow.directory, "mult", 7, 1, "its node failed")
    assert flow.motoko("restart", "zeo:mult").returncode == 0
    with pytest.raises(NotWelcome, match="its node failed"):
        greet(flow, FIRST)
    greet(flow, SECOND).close()
