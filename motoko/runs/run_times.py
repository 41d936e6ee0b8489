"""When a run started, in UTC, from the local time that it has noted.

BlackDynamite's ``run.start()`` notes the local time of the run, without its time zone. The zone is
taken to be that of the run's ``TZ``, or this host's, if the time then lies between the start of its
attempt and now. Otherwise the zone is another one: the run is taken to have started within a
quarter of an hour of its attempt, since zones differ in steps of a quarter of an hour.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from motoko.runs.claims import recorded_at
from motoko.runs.entries import OwnEntries
from motoko.runs.paths import claim_path, recorded_directory

_NAMES = ("start_time", "last_step_time")
_STEP_S = 900.0
_SLACK_S = 5.0  # clocks and time stamps of files differ a little
_DIFFERENCE_MAX_S = 26 * 3600.0  # from the first zone of the Earth to its last


def started(
    entries: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> datetime | None:
    """The start time that a run has noted, in UTC; ``None`` if it has noted none.

    Args:
        entries: the run's entries.
        environment: the variables that are set for it.
    """
    at = entries.get("start_time")
    if not isinstance(at, datetime) or at.tzinfo is not None:
        return at.astimezone(UTC) if isinstance(at, datetime) else None
    return moment(at, zone_of(environment or {}), _attempt_started(entries), time.time())


def in_utc(entries: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, datetime]:
    """The times that a run has noted without a zone, in UTC, by the entries' names."""
    times = {name: entries.get(name) for name in _NAMES}
    naive = {n: at for n, at in times.items() if isinstance(at, datetime) and at.tzinfo is None}
    if not naive:
        return {}
    zone, earliest, now = zone_of(environment), _attempt_started(entries), time.time()
    return {name: moment(at, zone, earliest, now) for name, at in naive.items()}


def times_of(entries: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The times to be noted at a run's end: in UTC, with the end itself if the start was noted."""
    if not isinstance(entries.get("start_time"), datetime):
        return in_utc(entries, environment)
    directory = recorded_directory(entries)
    ended = None if directory is None else recorded_at(directory, OwnEntries(entries).attempt)
    return {**in_utc(entries, environment), "attempt_ended": ended}


def ended_at(entries: Mapping[str, Any], directory: Path | None) -> float | None:
    """When a run's last attempt ended (seconds since 1970), by its entries or its exit record.

    Args:
        entries: the run's entries.
        directory: where the run's directory is now, if it has one.
    """
    own = OwnEntries(entries)
    if own.attempt_ended is not None or directory is None:
        return own.attempt_ended
    return recorded_at(directory, own.attempt)


def zone_of(environment: Mapping[str, str]) -> tzinfo | None:
    """The zone that a run's clock shows, if its environment names one; ``None``: this host's."""
    name = str(environment.get("TZ") or "").removeprefix(":")
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, KeyError):
        return None  # a TZ in another form, with its own rules for summer time


def moment(
    reading: datetime, zone: tzinfo | None, earliest: float | None, latest: float
) -> datetime:
    """The moment in UTC of a clock's reading.

    Args:
        reading: a time without its zone.
        zone: the zone that the clock is taken to show; ``None``: that of this host.
        earliest: the earliest possible moment (seconds since 1970), if it is known.
        latest: the latest possible moment (seconds since 1970).
    """
    likely = reading.replace(tzinfo=zone) if zone else reading.astimezone()
    likely = likely.astimezone(UTC)
    if earliest is None:
        return likely
    if earliest - _SLACK_S <= likely.timestamp() <= latest + _SLACK_S:
        return likely
    as_utc = reading.replace(tzinfo=UTC).timestamp()
    after = (as_utc - (earliest - _SLACK_S)) % _STEP_S
    first = earliest - _SLACK_S + after
    if first > latest + _SLACK_S or abs(first - as_utc) > _DIFFERENCE_MAX_S:
        return likely
    return datetime.fromtimestamp(first, UTC)


def _attempt_started(entries: Mapping[str, Any]) -> float | None:
    directory: Path | None = recorded_directory(entries)
    if directory is None:
        return None
    try:
        return claim_path(directory, OwnEntries(entries).attempt).stat().st_mtime
    except OSError:
        return None
