"""A run's times are moments, whatever its clock shows and whoever looks."""

import os
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from motoko.runs.run_times import in_utc, moment, started, zone_of

START = datetime(2026, 3, 8, 6, 59, tzinfo=UTC)  # a minute before New York's clocks jump
ZONES = ["America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"]


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def looker(request, monkeypatch):
    """Whoever looks has a zone, too."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("hours", [0, 1, 12])
def test_the_zone_is_known(looker, name, hours):
    at = START + timedelta(hours=hours)
    reading = at.astimezone(ZoneInfo(name)).replace(tzinfo=None)
    zone = zone_of({"TZ": f":{name}"})
    assert moment(reading, zone, START.timestamp(), at.timestamp() + 60) == at
    assert moment(reading, zone, None, at.timestamp()) == at


@pytest.mark.parametrize("name", ZONES)
def test_the_zone_is_another(looker, name):
    """launch.sh or doIt.py has set it: the attempt's start tells."""
    at = START + timedelta(minutes=14)
    reading = at.astimezone(ZoneInfo(name)).replace(tzinfo=None)
    assert moment(reading, ZoneInfo("Asia/Tokyo"), START.timestamp(), at.timestamp() + 600) == at


def test_readings_that_fit_nowhere():
    reading = datetime(2030, 1, 1)
    assert moment(reading, UTC, 0.0, 1000.0) == reading.replace(tzinfo=UTC)


def test_zones():
    assert zone_of({"TZ": "Europe/Paris"}) == ZoneInfo("Europe/Paris")
    for odd in ({}, {"TZ": ""}, {"TZ": "XYZ3"}, {"TZ": "/nowhere"}, {"TZ": "../x"}):
        assert zone_of(odd) is None


def test_entries(tmp_path):
    (tmp_path / "attempt-1").write_text("{}")
    at = datetime.now(UTC).replace(microsecond=0)
    os.utime(tmp_path / "attempt-1", (at.timestamp(), at.timestamp()))
    reading = at.astimezone(ZoneInfo("America/New_York")).replace(tzinfo=None)
    run = {"state": "START", "run_path": str(tmp_path), "start_time": reading, "last_step": 3}
    assert started(run) == started(run, {"TZ": "America/New_York"}) == at
    assert in_utc(run, {}) == {"start_time": at}
    changed = {**run, **in_utc(run, {})}
    assert changed["start_time"].tzinfo is UTC and in_utc(changed, {}) == {}
    assert started(changed, {"TZ": "Asia/Tokyo"}) == at
    for odd in ({}, {"start_time": None}, {"start_time": "soon"}):
        assert started(odd) is None and in_utc(odd, {}) == {}
