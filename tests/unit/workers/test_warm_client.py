"""With which ZEO the client of warm runs takes the place of ZEO's own."""

import asyncio
import importlib.metadata
import runpy
import socket

import pytest
from ZEO.asyncio.client import ClientThread
from ZEO.ClientStorage import ClientStorage

from motoko.workers.launcher import warm_run

PART = warm_run.__file__.replace("warm_run", "{}")


@pytest.mark.parametrize(("version", "is_used"), [("6.2", True), ("6.2.1", False), ("7", False)])
def test_another_zeo(monkeypatch, version, is_used):
    part = runpy.run_path(PART.format("warm_zeo"))
    before = ClientStorage.__init__.__defaults__
    monkeypatch.setattr(ClientStorage.__init__, "__defaults__", before)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    part["install"]()
    now = ClientStorage.__init__.__defaults__
    assert (part["WarmClient"] in now, ClientThread in now) == (is_used, not is_used)
    assert len(now) == len(before)


def test_an_event_loop_is_not_given_empty_pieces_to_send():
    """Its transport would try for ever to send them, from Python 3.12 on."""
    ours, theirs = socket.socketpair()
    given = []

    class Transport:
        writelines = given.append
        set_protocol = get_extra_info = staticmethod(lambda *_: None)

    class EventLoop:
        async def create_unix_connection(self, protocol, sock):
            protocol().connection_made(Transport())

    with ours, theirs:
        line = runpy.run_path(PART.format("warm_line"))["Line"](ours)
        line.writelines([b"all", b" of it"])
        assert line.send() and theirs.recv(100) == b"all of it"
        asyncio.run(line.join(EventLoop()))
    assert not any(given)
