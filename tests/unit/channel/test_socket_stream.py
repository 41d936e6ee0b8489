"""Sockets that never block, and the loop that calls them."""

import socket
import threading

import pytest

from motoko.channel.relay.event_loop import EventLoop
from motoko.channel.relay.socket_stream import SocketStream
from motoko.channel.relay.splice import HELD_MAX, Splice


class Heard:
    """What a stream has told."""

    def __init__(self, loop):
        self.loop, self.data, self.ends, self.drains = loop, b"", [], 0

    def received(self, stream, data):
        self.data += data

    def drained(self, stream):
        self.drains += 1
        self.loop.stop()

    def ended(self, stream, reason):
        self.ends.append(reason)
        self.loop.stop()


@pytest.fixture
def loop():
    return EventLoop()


@pytest.fixture
def pair(loop):
    """A stream, the other end of it, and what it has told."""
    ours, theirs = socket.socketpair()
    heard = Heard(loop)
    with theirs:
        theirs.settimeout(10)
        stream = SocketStream(loop, ours, heard)
        yield stream, theirs, heard
        stream.close()


def test_calls_by_their_time(loop):
    calls = []
    loop.later(0.02, lambda: (calls.append("second"), loop.stop()))
    loop.later(0.01, lambda: calls.append("first"))
    loop.later(0.0, lambda: calls.append("never")).cancel()
    loop.run()
    assert calls == ["first", "second"]


def test_from_another_thread(loop):
    calls = []
    thread = threading.Thread(target=lambda: loop.soon(lambda: (calls.append(1), loop.stop())))
    thread.start()
    loop.run()
    thread.join()
    assert calls == [1]


def test_what_came_before_the_end(loop, pair):
    """Also if it is wanted only then."""
    stream, theirs, heard = pair
    theirs.sendall(b"last words")
    theirs.close()
    loop.later(0.05, stream.resume)
    loop.run()
    assert heard.data == b"last words" and heard.ends == ["it was closed"]
    assert stream.is_closed


def test_more_than_the_other_side_takes(loop, pair):
    stream, theirs, heard = pair
    size = 4 << 20
    stream.send(b"x" * size)
    assert stream.waiting > 0
    reader = threading.Thread(target=lambda: all(theirs.recv(1 << 20) for _ in range(1000)))
    reader.start()
    loop.run()
    assert stream.waiting == 0 and heard.drains == 1
    stream.close()
    reader.join()


def test_finishing(loop, pair):
    """All that was sent arrives, and a requested end is not reported as a loss."""
    stream, theirs, heard = pair
    stream.send(b"x" * (4 << 20))
    stream.finish()
    stream.send(b"too late")
    loop.later(0.0, lambda: None)
    sizes = []

    def read():
        while data := theirs.recv(1 << 20):
            sizes.append(len(data))
        loop.soon(loop.stop)

    reader = threading.Thread(target=read)
    reader.start()
    loop.run()
    reader.join()
    assert sum(sizes) == 4 << 20 and heard.ends == []


def test_a_lost_one(loop, pair):
    stream, theirs, heard = pair
    theirs.close()
    stream.send(b"x")
    assert len(heard.ends) == 1
    stream.send(b"y")
    stream.close()
    assert len(heard.ends) == 1


class Way:
    """An uplink whose connection is there at once, or never."""

    def __init__(self, connection):
        self.connection = connection

    def connect(self, name, call):
        call(self.connection)


def test_one_side_waits_for_the_other(loop):
    """A splice holds a little more than it may, and not all that is sent."""
    client, ours = socket.socketpair()
    server, theirs = socket.socketpair()
    with client, theirs:
        session = Splice(loop, ours, "zeo-mult", Way(server))
        client.setblocking(False)
        sent = waits = 0

        def fill():
            nonlocal sent, waits
            try:
                sent += client.send(b"x" * (1 << 16))
                waits = 0
            except BlockingIOError:
                waits += 1
            if waits < 50 and sent < 100 << 20:
                loop.later(0.002 if waits else 0.0, fill)
            else:
                loop.stop()

        fill()
        loop.run()
        assert HELD_MAX < sent < 4 * HELD_MAX
        session.close()


def test_no_way(loop):
    client, ours = socket.socketpair()
    with client:
        Splice(loop, ours, "zeo-mult", Way(None))
        assert client.recv(1) == b""


def test_a_client_that_is_gone_by_then(loop):
    client, ours = socket.socketpair()
    server, theirs = socket.socketpair()
    with client, theirs:
        way = Way(None)
        way.connect = lambda name, call: setattr(way, "call", call)
        session = Splice(loop, ours, "zeo-mult", way)
        session.close()
        way.call(server)
        assert theirs.recv(1) == b""
