"""Transaction ids: a study's clock."""

from __future__ import annotations

from datetime import UTC, datetime

from persistent.TimeStamp import TimeStamp
from ZODB.utils import p64, u64

from motoko.store.log_end import seconds_of

LENGTH = 8  # bytes


def following(tid: bytes) -> bytes:
    """The next greater transaction id."""
    next_tid: bytes = p64(u64(tid) + 1)
    return next_tid


def at(moment: datetime) -> str:
    """The transaction id (hexadecimal) of a moment; a moment without a zone is local time."""
    utc = moment.astimezone(UTC)
    seconds = utc.second + utc.microsecond / 1e6
    stamp = TimeStamp(utc.year, utc.month, utc.day, utc.hour, utc.minute, seconds)
    return str(stamp.raw().hex())


def committed_at(tid: str) -> datetime:
    """When a transaction (hexadecimal) was committed, in local time, with its zone."""
    return datetime.fromtimestamp(seconds_of(bytes.fromhex(tid)), UTC).astimezone()
