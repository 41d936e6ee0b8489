"""A server that has voted and cannot finish: its client disconnects, and sees what is stored."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from ZEO.asyncio.server import Result
from ZEO.TransactionBuffer import TransactionBuffer

from motoko.store.internals.zeo_finishing import FinishingClient
from motoko.store.internals.zeo_short_commits import METHOD, ShortCommit


class Server:
    """It has nothing to announce."""


class ServersSide(FinishingClient):
    """The server's side of a client, without server and client."""

    transaction = object()
    greeting = None

    def __init__(self, finish, votes=True):
        self.server = Server()
        self.connection = SimpleNamespace(motoko_greeting=self.greeting)
        self.lock_manager = SimpleNamespace(lock=lambda client, do: do())
        self._finish, self._votes = finish, votes

    def _check_tid(self, tid, exc=None):
        return True

    def _vote(self, delay=None):
        self.locked = self._votes
        return [b"resolved"]

    def tpc_finish(self, number):
        return Result(self._finish(), self._clear_transaction)


def fails():
    raise OSError("the disk is full")


def test_the_server_tells_of_the_error_beside_the_vote():
    resolved, tid, error = ServersSide(fails).vote_and_finish(1)
    assert (resolved, tid, str(error)) == ([b"resolved"], None, "the disk is full")


def test_the_server_finishes_nothing_without_a_vote():
    assert ServersSide(fails, votes=False).vote_and_finish(1) == ([b"resolved"], None, None)


def test_the_server_keeps_the_lock_until_it_has_answered():
    side = ServersSide(lambda: b"tid")
    result = side.vote_and_finish(1)
    assert result.args == (([b"resolved"], b"tid", None), side._clear_transaction)


@pytest.mark.parametrize("error", [OSError("the disk is full"), None])
def test_the_client_disconnects(error):
    done = []

    async def server_call(method, number):
        assert (method, number) == (METHOD, 7)
        return [], None if error else b"tid", error

    def tell(tid):
        raise OSError("told")

    protocol = SimpleNamespace(server_call=server_call, close=lambda: done.append("closed"))
    cache = SimpleNamespace(_lock=threading.Lock(), setLastTid=lambda tid: None)
    client = SimpleNamespace(
        operational=True, protocol=protocol, cache=cache, disconnected=lambda one: done.append(one)
    )
    commit = ShortCommit(TransactionBuffer(0), tell)
    with pytest.raises(OSError, match="full" if error else "told"):
        asyncio.run(commit.vote(client, 7))
    assert done == ["closed", protocol] and commit.tid is None
