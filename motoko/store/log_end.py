"""The end of a database's log, read from its file: which transactions were the last.

No server is asked, and the log is not read from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEAD = 17  # bytes: a transaction's id, its length, and whether it is finished
_LENGTH = 8
_UNFINISHED = b"c"
_MAGIC = 4  # bytes at the beginning of the file


class NoEnd(Exception):
    """The file ends in the middle of something: a transaction is being written, or was."""


def last_tids(log: Path) -> Iterator[bytes]:
    """The transaction ids in a database's file, from the last one back.

    Raises ``NoEnd`` where the file cannot be read backwards, ``OSError`` where not at all.
    """
    with open(log, "rb") as file:
        end = file.seek(0, 2)
        while end > _MAGIC:
            end, tid, is_finished = _transaction_before(file, end)
            if is_finished:
                yield tid


def _transaction_before(file: BinaryIO, end: int) -> tuple[int, bytes, bool]:
    """Where the transaction that ends at a place begins, its id, and whether it is finished."""
    length = int.from_bytes(_read(file, end - _LENGTH, _LENGTH), "big")
    start = end - _LENGTH - length
    if length <= _HEAD or start < _MAGIC:
        raise NoEnd
    head = _read(file, start, _HEAD)
    if int.from_bytes(head[8:16], "big") != length:
        raise NoEnd
    return start, head[:8], head[16:17] != _UNFINISHED


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(max(0, place))
    data = file.read(size)
    if len(data) != size:
        raise NoEnd
    return data
