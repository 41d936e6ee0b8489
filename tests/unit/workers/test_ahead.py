"""Runs prepared ahead of their slots: as many as start at once, and none where runs take longer."""

from pathlib import Path

from motoko.config.policy import Policy
from motoko.workers.launcher.ahead import AHEAD_MAX, PATIENCE_S, Ahead
from motoko.workers.launcher.preparing import Prepared


def prepared(number):
    return Prepared(number, Path(f"run-{number}"), 1, "a", Policy())


def ahead_after(*seconds, slots=2):
    ahead = Ahead(slots)
    for duration in seconds:
        ahead.has_taken(duration)
    return ahead


def test_room_is_for_what_starts_at_once():
    assert Ahead(2).room == 0, "before anything is known"
    assert ahead_after(0.0).room == AHEAD_MAX
    assert ahead_after(0.05).room == 10
    assert ahead_after(0.05, slots=1).room == 5
    assert ahead_after(1.0).room == 0
    assert ahead_after(*[0.005] * 50, 10.0).room == 0, "one long run, and it stops"
    assert ahead_after(10.0, *[0.005] * 50).room > 0
    assert ahead_after(-3600.0).room == AHEAD_MAX, "the clock was set back"


def test_order_and_level():
    ahead = ahead_after(0.125)  # room for 4
    assert ahead.is_low and not ahead.runs and ahead.spare == 4
    for number in (3, 1, 2):
        ahead.add(prepared(number), 0.0)
    assert not ahead.is_low and list(ahead.runs) == [3, 1, 2] and ahead.first.run_id == 3
    assert ahead.spare == 1
    ahead.drop(3)
    ahead.drop(99)
    assert ahead.is_low and ahead.first.run_id == 1 and [*ahead.runs] == [1, 2]


def test_what_waits_too_long_is_given_back_all_of_it():
    ahead = ahead_after(0.001)
    assert ahead.next_at() is None and ahead.late(1e9, at_once=True) == []
    ahead.add(prepared(1), 0.0)
    ahead.add(prepared(2), 0.5)
    assert ahead.next_at() == PATIENCE_S
    assert ahead.late(PATIENCE_S - 0.01) == []
    assert ahead.room > 0
    assert ahead.late(PATIENCE_S) == [1, 2]
    assert ahead.room == 0, "something takes long: no more of it until it is over"
    assert ahead.late(0.0, at_once=True) == [1, 2]
