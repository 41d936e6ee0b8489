"""What is read of a client's first message, before anything is answered."""

import random
import ssl

import pytest

from motoko.channel.client_hello import LONGEST, NoHello, server_name


def hello(name="0123456789abcdef"):
    """The first bytes of a real client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = name is not None and context.check_hostname
    if name is None:
        context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def records(data, size):
    """The same message in records of some bytes each."""
    message = data[5:]
    parts = [message[i : i + size] for i in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in parts)


@pytest.mark.parametrize("name", ["0123456789abcdef", "0" * 32, "a.b"])
def test_a_name(name):
    assert server_name(hello(name)) == name
    assert server_name(hello(name) + b"more") == name


def test_it_comes_in_parts():
    data = hello()
    for count in range(len(data)):
        assert server_name(data[:count]) is None


@pytest.mark.parametrize("size", [1, 7, 100])
def test_it_comes_in_several_records(size):
    assert server_name(records(hello(), size)) == "0123456789abcdef"


@pytest.mark.parametrize(
    "data",
    [
        b"G",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x02M5",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x02\x00\x00\x01\x01",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01" + (LONGEST + 1).to_bytes(3),
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    ],
)
def test_what_is_none(data):
    with pytest.raises(NoHello):
        server_name(data)


def test_none_named():
    with pytest.raises(NoHello, match="names no server"):
        server_name(hello(None))


def test_garbage():
    """Any bytes give a name, "more bytes needed" or "no hello", and no other error."""
    chance = random.Random(17)
    data = hello()
    for _ in range(5_000):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            server_name(bytes(broken[: chance.randint(0, len(broken))]))
        except NoHello:
            continue
