"""A database's log, read from the end of its file: the last transactions.

This needs no server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

_HEAD = 23  # bytes: a transaction's id, its length, whether it is finished, lengths of texts
_LENGTH = 8
_RECORD = 42  # bytes before a record's data: its oid first, the length of the data last
_POINTER = 8  # bytes in place of a record's data, if it has none
_UNFINISHED = b"c"
_PACKED = b"p"
_MAGIC = 4  # bytes at the beginning of the file
_TRIES, _PAUSE_S = 20, 0.005  # to read the end of a file that is being written


class NoEnd(Exception):
    """The file ends in the middle of a transaction, which is or was being written."""


def last_tids(log: Path) -> Iterator[bytes]:
    """The transaction ids in a database's file, from the last one backwards.

    Raises ``NoEnd`` if the file cannot be read backwards, ``OSError`` if not at all.
    """
    for tid, _ in last_transactions(log):
        yield tid


def newest_change(log: Path) -> float | None:
    """When the last transaction was committed (seconds since 1970); ``None`` if it is not known.

    Never raises because of the file: it may be missing, unreadable, or be written just now.
    """
    for _ in range(_TRIES):
        try:
            return next((seconds_of(tid) for tid in last_tids(log)), None)
        except NoEnd:
            time.sleep(_PAUSE_S)
        except OSError:
            break
    return None


def seconds_of(tid: bytes) -> float:
    """When a transaction was committed, in seconds since 1970, by its id.

    Four bytes count minutes, as if all months had 31 days; four are a fraction of a minute.
    """
    minutes, part = divmod(int.from_bytes(tid, "big"), 1 << 32)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    months, day = divmod(days, 31)
    year, month = divmod(months, 12)
    whole = datetime(year + 1900, month + 1, day + 1, hour, minute, tzinfo=UTC)
    return whole.timestamp() + part * 60 / (1 << 32)


def last_transactions(log: Path) -> Iterator[tuple[bytes, Callable[[], list[bytes]]]]:
    """The transaction ids, from the last one backwards, each with a function that reads its oids.

    The function works until the next transaction is asked for. Raises like :func:`last_tids`.
    """
    with open(log, "rb") as file:
        end = file.seek(0, 2)
        while end > _MAGIC:
            behind = end - _LENGTH
            end, head = _transaction_before(file, end)
            if head[16:17] != _UNFINISHED:
                yield head[:8], partial(_records, file, end, head, behind)


@dataclass(frozen=True)
class Written:
    """A transaction in the file: its id, where it begins, and whether packing has left it."""

    tid: bytes
    start: int
    is_packed: bool


def written_before(log: Path, end: int | None = None) -> Iterator[Written]:
    """The transactions before a place (the file's end by default), from the last one backwards.

    Raises like :func:`last_tids`.
    """
    with open(log, "rb") as file:
        start = file.seek(0, 2) if end is None else end
        while start > _MAGIC:
            start, head = _transaction_before(file, start)
            yield Written(head[:8], start, head[16:17] == _PACKED)


def complete_end(file: BinaryIO) -> tuple[bytes, int]:
    """The last transaction in an open file that was committed, and the place where it ends.

    Raises like :func:`last_tids`, and ``NoEnd`` if there is no transaction.
    """
    start = file.seek(0, 2)
    while start > _MAGIC:
        end = start
        start, head = _transaction_before(file, end)
        if head[16:17] != _UNFINISHED:
            return head[:8], end
    raise NoEnd


def last_fitting(log: Path, size: int, count: int) -> int:
    """How many of the last transactions fit into ``size`` bytes; ``count`` at most.

    Raises ``NoEnd`` where the file cannot be read backwards, ``OSError`` where not at all.
    """
    fitting = 0
    with open(log, "rb") as file:
        end = file.seek(0, 2)
        first = end - size
        while end > _MAGIC and fitting < count:
            end, _ = _transaction_before(file, end)
            if end < first:
                break
            fitting += 1
    return fitting


def _transaction_before(file: BinaryIO, end: int) -> tuple[int, bytes]:
    """The place where the transaction that ends at ``end`` begins, and its first bytes."""
    length = int.from_bytes(_read(file, end - _LENGTH, _LENGTH), "big")
    start = end - _LENGTH - length
    if length <= _HEAD or start < _MAGIC:
        raise NoEnd
    head = _read(file, start, _HEAD)
    if int.from_bytes(head[8:16], "big") != length:
        raise NoEnd
    return start, head


def superseded(log: Path, until: bytes | None = None) -> tuple[int, int]:
    """How many bytes a database's file has, and how many are of records that were written again.

    With ``until``, only of those that transactions up to this one have written again.

    Raises ``NoEnd`` where the file cannot be read backwards, ``OSError`` where not at all.
    """
    newest: set[bytes] = set()
    total = earlier = 0
    with open(log, "rb") as file:
        total = end = file.seek(0, 2)
        while end > _MAGIC:
            behind = end - _LENGTH
            end, head = _transaction_before(file, end)
            if until is not None and head[:8] > until:
                continue
            whole = True
            for oid, size in reversed(_sizes(file, end, head, behind)):
                whole = whole and oid in newest
                earlier += size if oid in newest else 0
                newest.add(oid)
            earlier += _around(head) if whole else 0
    return total, earlier


def _around(head: bytes) -> int:
    """How many bytes a transaction has besides its records."""
    texts = sum(int.from_bytes(head[place : place + 2], "big") for place in (17, 19, 21))
    return _HEAD + texts + _LENGTH


def _records(file: BinaryIO, start: int, head: bytes, end: int) -> list[bytes]:
    return [oid for oid, _ in _sizes(file, start, head, end)]


def _sizes(file: BinaryIO, start: int, head: bytes, end: int) -> list[tuple[bytes, int]]:
    """The oids of a transaction's records, and how many bytes each has."""
    texts = sum(int.from_bytes(head[place : place + 2], "big") for place in (17, 19, 21))
    place, records = start + _HEAD + texts, []
    while place < end:
        record = _read(file, place, _RECORD)
        size = _RECORD + (int.from_bytes(record[-8:], "big") or _POINTER)
        records.append((record[:8], size))
        place += size
    if place != end:
        raise NoEnd
    return records


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(max(0, place))
    data = file.read(size)
    if len(data) != size:
        raise NoEnd
    return data
