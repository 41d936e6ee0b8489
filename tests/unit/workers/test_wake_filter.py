"""Which transitions wake a launcher: everything that others do, nothing that it has done itself."""

import pytest

from motoko.bus.messages import Transition
from motoko.bus.waiters import Interest, Waiters
from motoko.workers.launcher.wake_filter import WakeFilter

NEW, EXECUTED, AHEAD, OTHER = 1, 2, 3, 4  # runs


class Executors:
    def has(self, run_id):
        return run_id in (EXECUTED, AHEAD)

    def is_ahead(self, run_id):
        return run_id == AHEAD


class NewRuns:
    """NEW was found before the bus told of it."""

    def has(self, change):
        return change.old is None and change.run_id == NEW


@pytest.fixture
def wake_filter():
    made = WakeFilter(Executors(), NewRuns())
    made.is_ready = True
    return made


def change(run, old, new):
    return Transition("s", run, old, new, "00", "epoch", 1, run_name="r")


OWN = (
    change(OTHER, "CREATED", "launched"),  # its commit tells of it before it has the run
    change(EXECUTED, "CREATED", "launched"),
    change(AHEAD, "CREATED", "launched"),
    change(EXECUTED, "launched", "START"),  # the run's own, about which nothing is to be done
    change(OTHER, "launched", "FINISHED"),  # it has noticed the end of the run, and recorded it
    change(OTHER, "START", "FAILED"),
    change(OTHER, "launched", "FAILED"),
)
OTHERS = (
    change(OTHER, None, "CREATED"),
    change(OTHER, "FAILED", "CREATED"),  # a retry
    change(EXECUTED, "START", "CREATED"),
    change(OTHER, "CREATED", "FAILED"),  # cancelled
    change(OTHER, "CREATED", None),  # deleted
    change(OTHER, "CREATED", "TOBELAUNCHED"),  # BlackDynamite's launcher
    change(EXECUTED, "START", "FINISHED"),  # its end follows
    change(EXECUTED, "START", "FORWARDED"),
    change(EXECUTED, "launched", None),
    change(AHEAD, "launched", "START"),
    change(AHEAD, "launched", "FAILED"),
    change(AHEAD, "launched", None),
)


@pytest.mark.parametrize("transition", OWN, ids=str)
def test_it_is_not_woken_by_what_it_has_done_itself(wake_filter, transition):
    assert not wake_filter.accepts(transition)


@pytest.mark.parametrize("transition", OTHERS, ids=str)
def test_it_is_woken_by_what_others_have_done(wake_filter, transition):
    assert wake_filter.accepts(transition)


def test_a_run_that_was_found_already_wakes_it_only_when_it_is_created_again(wake_filter):
    assert not wake_filter.accepts(change(NEW, None, "CREATED"))
    assert wake_filter.accepts(change(NEW, "FAILED", "CREATED"))


@pytest.mark.parametrize("transition", [*OWN, *OTHERS], ids=str)
def test_everything_wakes_it_until_it_is_ready(wake_filter, transition):
    wake_filter.is_ready = False
    assert wake_filter.accepts(transition)


def test_waiters_have_transitions_of_their_studies_filtered_and_nothing_else():
    waiters = Waiters()
    interest = Interest([("s", EXECUTED)], ["s"], accepts=lambda change: change.new == "FAILED")
    with waiters.waiting(interest, "") as waiter:
        assert [*waiters.of(change(OTHER, "START", "FINISHED"))] == []
        assert [*waiters.of(change(OTHER, "START", "FAILED"))] == [waiter]
        assert waiter in waiters.of(change(EXECUTED, "START", "FINISHED"))
        assert waiters.of_study("s") == [waiter]  # beats, and what was lost
    assert not len(waiters)
