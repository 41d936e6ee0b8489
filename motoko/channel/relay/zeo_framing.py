"""The protocol of ZEO's clients and servers: messages with their size in front, pickles inside.

It uses only the standard library, and creates no object that a pickle names: a relay only has to
know which call a message is, and which answer belongs to it.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

PICKLES = b"Z5"  # the greeting of both sides; the other coding, M, is no pickle
KEEP_ALIVE = -1
REPLY = ".reply"
NEWS = "invalidateTransaction"
# Calls that may be made twice: they change nothing, or the second call changes nothing more.
REPEATABLE = frozenset(
    {
        *("register", "get_info", "lastTransaction", "getInvalidations", "new_oids", "new_oid"),
        *("loadBefore", "loadSerial", "getTid", "history", "record_iternext"),
        *("undoLog", "undoInfo", "server_status", "ping", "pack"),
        *("vote", "tpc_finish", "tpc_abort"),
    }
)
IN_TRANSACTIONS = frozenset(
    {
        *("storea", "restorea", "deleteObject", "undoa", "checkCurrentSerialInTransaction"),
        *("storeBlobStart", "storeBlobChunk", "storeBlobEnd", "storeBlobShared"),
    }
)
_PROTOCOL = 3
_SIZE = struct.Struct(">I")


class Unreadable(Exception):
    """A message that is not one of ZEO's."""


class Message(NamedTuple):
    """The content of a message.

    Attributes:
        number: the number of the call, or of the call that it answers: an int, or a pair of bytes.
        flag: of a call, whether it expects no answer; of an answer, whether the call has failed.
        name: the name of the call; ``REPLY`` for an answer.
        content: the call's arguments, or the answer.
    """

    number: Any
    flag: Any
    name: str
    content: Any


class _Nothing:
    """Stands for each class that a pickle names, such as an error's class in an answer."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...

    def __hash__(self) -> int:
        raise TypeError("no number of a call")


class _Reading(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _Nothing

    def persistent_load(self, pid: Any) -> Any:
        return None


class Stream:
    """Splits incoming bytes into whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def messages(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete with these bytes, still with their sizes."""
        self._bytes += data
        start, end = 0, len(self._bytes)
        try:
            while end - start >= _SIZE.size:
                (size,) = _SIZE.unpack_from(self._bytes, start)
                if end - start < _SIZE.size + size:
                    return
                message = bytes(self._bytes[start : start + _SIZE.size + size])
                start += len(message)
                yield message
        finally:
            del self._bytes[:start]

    def rest(self) -> bytes:
        """The part of an incomplete message that has come; it is removed here."""
        rest = bytes(self._bytes)
        self._bytes.clear()
        return rest


def content(message: bytes) -> bytes:
    """A message without its size."""
    return message[_SIZE.size :]


def read(message: bytes) -> Message:
    """The content of a message after the greeting; ``Unreadable`` if it is not one of ZEO's."""
    try:
        parts = _Reading(io.BytesIO(content(message)), encoding="bytes").load()
        number, flag, name, arguments = parts
        hash(number)
    except Exception as error:  # a pickle can raise anything
        raise Unreadable(str(error)) from error
    if not isinstance(name, str):
        raise Unreadable(f"a call named {name!r}")
    return Message(number, flag, name, arguments)


def framed(text: bytes) -> bytes:
    """A message of a text, with its size."""
    return _SIZE.pack(len(text)) + text


def written(number: Any, flag: bool, name: str, arguments: Any) -> bytes:
    """A message with this content."""
    return framed(pickle.dumps((number, flag, name, arguments), _PROTOCOL))
