"""A commit to one study takes one round trip; all else about it is as if it took two."""

import contextlib
import functools
import os
import signal
import threading

import pytest
import transaction
from BTrees.OOBTree import OOBTree
from persistent.mapping import PersistentMapping
from study_clients import Client
from support import wait_until
from ZODB.POSException import ConflictError

from motoko.config import load
from motoko.layout import locate
from motoko.store.internals.zeo_short_commits import METHOD

DEADLINE_S = 30.0
SHORT, LONG = ["vote"], ["call_sync_co", "tpc_finish_co"]


@pytest.fixture(params=[False, True], ids=["threads", "threadless"])
def client(workflow, request):
    """Makes clients of a study's server."""
    flow = workflow(studies=("add", "mult"))
    flow.supervise("--no-launchers")
    definition = load(flow.path)
    with contextlib.ExitStack() as stack:

        def client(study="mult"):
            config = definition.studies[study]
            made = Client(config, locate(definition), threadless=request.param)
            stack.callback(made.close)
            return made

        client.flow = flow
        yield client


@pytest.fixture
def calls(monkeypatch):
    """Notes the calls that a client makes from now on."""

    def calls(client):
        noted = []
        io_call = client.storage._server.io_call

        def noting(call, wait=True):
            noted.append(call.__name__)
            return io_call(call, wait)

        monkeypatch.setattr(client.storage._server, "io_call", noting)
        return noted

    return calls


def saw(client):
    """A client that sees all that was committed."""
    client.storage.ping()
    client.manager.begin()
    return client


def test_one_round_trip(client, calls):
    writer, reader = client(), client()
    noted = calls(writer)
    for number in range(3):
        writer.write(number=number)
        assert noted == SHORT * (number + 1)
        assert saw(reader).root["number"] == number and reader.tid == writer.tid
        assert writer.root["number"] == number
    assert noted == SHORT * 3  # what it wrote, it knows


def test_a_conflict_is_raised_and_nothing_is_stored(client):
    first, second = client(), client()
    first.write(number=0)
    saw(second)
    second.root["number"] = 2
    first.write(number=1)
    with pytest.raises(ConflictError):
        second.manager.commit()
    second.manager.abort()
    assert saw(second).root["number"] == 1
    second.write(number=3)
    assert saw(first).root["number"] == 3
    first.write(number=4)


def test_what_the_server_has_merged_is_loaded(client, calls):
    first, second = client(), client()
    first.write(tree=OOBTree({"a": 1}))
    saw(second)
    second.root["tree"]["c"] = 3
    first.root["tree"]["b"] = 2
    first.manager.commit()
    noted = calls(second)
    second.manager.commit()
    assert noted == SHORT
    assert dict(second.root["tree"]) == dict(saw(first).root["tree"]) == dict(a=1, b=2, c=3)
    second.root["tree"]["d"] = 4
    second.manager.commit()
    assert dict(saw(first).root["tree"]) == dict(a=1, b=2, c=3, d=4)


def test_two_studies_vote_before_either_finishes(client, calls):
    both, others = [client("add"), client("mult")], [client("add"), client("mult")]
    manager = transaction.TransactionManager()
    roots = [one.database.open(manager).root() for one in both]
    noted = [calls(one) for one in both]
    for root in roots:
        root["number"] = 1
    manager.commit()
    assert noted == [LONG, LONG]
    for other in others:
        assert saw(other).root["number"] == 1
    others[1].write(number=2)
    for root in roots:
        root["number"] = 3
    with pytest.raises(ConflictError):
        manager.commit()
    manager.abort()
    assert [saw(other).root["number"] for other in others] == [1, 2]


def test_it_waits_for_a_commit_that_is_under_way(client):
    first, second, third = client(), client(), client()
    first.write(one=PersistentMapping(), two=PersistentMapping())
    saw(second)
    second.root["two"]["y"] = 2
    held = transaction.Transaction()
    held.join(object())  # something else takes part, so the vote is only a vote
    first.root["one"]["x"] = 1
    for step in (first.connection.tpc_begin, first.connection.commit, first.connection.tpc_vote):
        step(held)
    writing = threading.Thread(target=second.manager.commit)
    writing.start()
    waiting = lambda: third.storage._call("server_status")["waiting"]  # noqa: E731
    wait_until(waiting, "the second commit waits", DEADLINE_S)
    first.connection.tpc_finish(held)
    writing.join(DEADLINE_S)
    assert dict(saw(third).root["one"]) == {"x": 1} and dict(third.root["two"]) == {"y": 2}


def test_nobody_hears_of_a_commit_after_a_later_one(client, calls, monkeypatch):
    """Also if the server handles several commits in one go: it was stopped meanwhile."""
    both, names = [client(), client()], ["one", "two"]
    both[0].write(one=PersistentMapping(), two=PersistentMapping())
    heard, noted = [], [calls(one) for one in both]
    for one in both:
        saw(one)
        tids, cache = [], one.storage._cache
        heard.append(tids)
        monkeypatch.setattr(cache, "setLastTid", functools.partial(note, tids, cache.setLastTid))

    def change(one, name, turn):
        with one.manager:
            one.root[name]["turn"] = turn

    server = client.flow.pids()["zeo:mult"]
    for turn in range(1, 21):
        os.kill(server, signal.SIGSTOP)
        writing = [
            threading.Thread(target=change, args=(one, name, turn))
            for one, name in zip(both, names, strict=True)
        ]
        for thread in writing:
            thread.start()
        wait_until(lambda turn=turn: [n.count("vote") for n in noted] == [turn, turn], "both vote")
        os.kill(server, signal.SIGCONT)
        for thread in writing:
            thread.join(DEADLINE_S)
        for one in both:
            saw(one)
    assert all(len(tids) > 20 and tids == sorted(tids) for tids in heard), heard


def note(noted, call, argument):
    noted.append(argument)
    return call(argument)


def test_servers_that_cannot_are_asked_as_ever(client, calls):
    writer = client()
    del writer.storage._info[METHOD]
    noted = calls(writer)
    writer.write(number=1)
    assert noted == LONG
    assert saw(client()).root["number"] == 1
