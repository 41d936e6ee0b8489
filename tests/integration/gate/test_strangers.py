"""Who has no key gets no byte, disturbs nobody, and is logged once."""

import contextlib
import datetime
import random
import socket
import ssl

import pytest
from arrivals import bare, contexts, descriptors, gate, is_serving, let_in, received
from support import supervised, wait_until, write_workflow

from motoko.channel import keys
from motoko.channel.connecting import Unreachable, connect
from motoko.channel.greeting import Greeting
from motoko.channel.key_file import key_path
from motoko.channel.tls import Contexts
from motoko.layout import channel_directory

CONNECTIONS = 2_000
AT_ONCE = 200


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    place = tmp_path_factory.mktemp("strangers")
    yield from supervised(place, let_in(write_workflow(place / "wf")))


def naked(certificate=None):
    """The TLS of a client that trusts everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def hello(name):
    outgoing = ssl.MemoryBIO()
    client = naked().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


SENT = {
    "nothing": b"",
    "zeo": b"\0\0\0\2M5",
    "ruok": b"\0\0\0\4ruok",
    "control": b'{"command": "stop"}\n',
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "zmtp": b"\xff" + bytes(8) + b"\x7f\x03",
    "half a hello": b"\x16\x03\x01\x02\x00\x01\x00",
}


@pytest.mark.parametrize("data", SENT.values(), ids=SENT)
def test_no_byte_before_the_handshake(flow, data):
    with bare(flow) as connection:
        connection.sendall(data)
        if not data or data.startswith(b"\x16"):
            connection.shutdown(socket.SHUT_WR)
        assert received(connection) == b""


def test_no_byte_while_it_waits(flow):
    """Nothing comes by itself, as long as one waits; then it is over."""
    with bare(flow) as connection:
        assert received(connection) == b""


@pytest.mark.parametrize("name", ["zeo-mult", "x" * 32, "localhost", "0" * 32, "\\'\"$(id)"])
def test_names_that_strangers_may_guess(flow, name):
    with bare(flow) as connection, pytest.raises((ssl.SSLError, ConnectionError)):
        naked().wrap_socket(connection, server_hostname=name)


def refused_handshake(flow, context):
    """What comes from a server that was found by its name, after a handshake that it refuses."""
    with bare(flow) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        name = contexts(flow).server_name("zeo-mult")
        with context.wrap_socket(raw, server_hostname=name) as connection:
            connection.sendall(Greeting().line())
            assert connection.recv(100) == b""
            raise ConnectionError("it was ended without a word")


def logged(flow, reason):
    """The server logs after the client has been told."""
    wait_until(lambda: reason in flow.log("zeo:mult"), f"{reason!r} is logged")


def test_without_a_certificate(flow):
    refused_handshake(flow, naked())
    assert is_serving(flow)
    logged(flow, "PEER_DID_NOT_RETURN_A_CERTIFICATE")


def test_with_another_workflows_certificate(flow, tmp_path):
    keys.ensure(tmp_path / "other")
    refused_handshake(flow, naked(key_path(tmp_path / "other")))
    with pytest.raises(Unreachable):
        other = Contexts(tmp_path / "other", server=False)
        connect(gate(flow), other, "zeo-mult", Greeting(), 10)
    assert is_serving(flow)


def test_with_an_expired_certificate(flow, tmp_path, monkeypatch):
    """An expired certificate is refused; the next `ensure` makes a new one."""
    channel = channel_directory(flow.directory)
    with monkeypatch.context() as context:
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=400)
        context.setattr(keys, "_now", lambda: past)
        keys.renew(channel)
    refused_handshake(flow, naked(key_path(channel)))
    logged(flow, "certificate has expired")
    keys.ensure(channel)
    assert is_serving(flow)


def test_with_an_older_tls(flow):
    older = naked(key_path(channel_directory(flow.directory)))
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    refused_handshake(flow, older)


def test_nothing_before_the_greeting(flow):
    """Nothing is sent before the greeting, even to clients with the key."""
    for name in ("zeo-mult", "control"):
        with bare(flow) as raw:
            current = contexts(flow)
            tls = current.current().wrap_socket(raw, server_hostname=current.server_name(name))
            with tls as connection:
                connection.sendall(b"M5" * 4_000)
                assert received(connection) == b""
    assert is_serving(flow)


def garbage(chance, right_name):
    """What a stranger may send."""
    match chance.randrange(6):
        case 0:
            return chance.randbytes(chance.randint(0, 3_000))
        case 1:
            return b"\x16\x03\x01" + chance.randbytes(chance.randint(0, 3_000))
        case 2:
            data = hello(f"{chance.getrandbits(128):032x}")
            return data[: chance.randint(0, len(data))]
        case 3:
            data = bytearray(hello(right_name))
            for _ in range(chance.randint(1, 20)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            return bytes(data)
        case 4:
            return hello(right_name) + chance.randbytes(chance.randint(1, 3_000))
        case _:
            return b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + bytes(chance.randint(0, 20_000))


def turned_away(flow):
    return int(flow.daemons()["gate"]["counts"]["turned_away"])


def test_thousands_of_them(flow):
    """Thousands of strangers crash nothing, block nobody, leak nothing and fill no log."""
    pids = flow.pids()
    assert is_serving(flow)
    before = {name: descriptors(pids[name]) for name in ("gate", "zeo:mult")}
    chance = random.Random(17)
    names = [contexts(flow).server_name(name) for name in ("zeo-mult", "control")]
    waiting = []
    for _ in range(CONNECTIONS):
        connection = bare(flow)
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.send(garbage(chance, chance.choice(names)))
        waiting.append(connection)
        if len(waiting) == AT_ONCE:
            # As many wait as may: one that has the key comes in all the same.
            assert is_serving(flow)
            for connection in waiting:
                connection.close()
            waiting.clear()
    assert flow.pids() == pids and flow.state() == "ready"
    for name, count in before.items():
        wait_until(lambda n=name, c=count: descriptors(pids[n]) <= c, f"{name} has closed all")
    for name in ("gate", "zeo:mult"):
        assert "Traceback" not in flow.log(name), flow.log(name)
        assert len(flow.log(name).splitlines()) < 60, flow.log(name)
    wait_until(lambda: turned_away(flow) > CONNECTIONS / 3, "its next beat tells how many")
