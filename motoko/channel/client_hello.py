"""Reads from a TLS client's first message which server it asks for, without answering.

Pure: bytes in, a name out.
"""

from __future__ import annotations

# TLS 1.3 clients send a few hundred bytes; two thousand with post-quantum keys.
LONGEST = 16_000
_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0
_RECORD_HEADER, _RECORD_MAX = 5, (1 << 14) + 256


class NoHello(ValueError):
    """These bytes do not begin a TLS client's first message, or it names no server."""


def server_name(data: bytes) -> str | None:
    """The server that a client asks for, read from the bytes that have come so far.

    ``None`` if more bytes have to come. Raises ``NoHello``.
    """
    message = _handshake(data)
    if message is None:
        return None
    try:
        return _name_in(_Reader(message))
    except IndexError:
        raise NoHello("it is cut short") from None


def _handshake(data: bytes) -> bytes | None:
    """The first handshake message, which may have come in several records."""
    message, wanted = b"", 4
    while True:
        if data and data[0] != _HANDSHAKE:
            raise NoHello("it is no TLS")
        if len(data) < _RECORD_HEADER:
            return None
        length = int.from_bytes(data[3:5])
        if data[1] != 3 or not 0 < length <= _RECORD_MAX:
            raise NoHello("it is no TLS")
        message += data[_RECORD_HEADER : _RECORD_HEADER + length]
        if message and message[0] != _CLIENT_HELLO:
            raise NoHello("it is no client's first message")
        if len(message) >= 4:
            wanted = 4 + int.from_bytes(message[1:4])
            if wanted > LONGEST:
                raise NoHello("it is too long")
        if len(message) >= wanted:
            return message[:wanted]
        if len(data) < _RECORD_HEADER + length:
            return None
        data = data[_RECORD_HEADER + length :]


class _Reader:
    """Takes the parts of a message one by one; ``IndexError`` if it ends before."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        if count > len(self._data):
            raise IndexError(count)
        part, self._data = self._data[:count], self._data[count:]
        return part

    def vector(self, size: int) -> bytes:
        """The next part that has its length in front, in ``size`` bytes."""
        return self.take(int.from_bytes(self.take(size)))

    def __bool__(self) -> bool:
        return bool(self._data)


def _name_in(hello: _Reader) -> str:
    hello.take(4 + 2 + 32)  # type and length, version, random
    for size in (1, 2, 1):  # session, ciphers, compressions
        hello.vector(size)
    extensions = _Reader(hello.vector(2))
    while extensions:
        kind, content = int.from_bytes(extensions.take(2)), _Reader(extensions.vector(2))
        if kind != _SERVER_NAME:
            continue
        names = _Reader(content.vector(2))
        while names:
            kind, name = names.take(1)[0], names.vector(2)
            if kind == _HOST_NAME:
                return name.decode("ascii", "replace")
    raise NoHello("it names no server")
