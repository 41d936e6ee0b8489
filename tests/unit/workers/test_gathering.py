"""Runs wait for others to be submitted with them, and no longer than that is worth."""

import math
from pathlib import Path

import pytest

from motoko.config.policy import Policy
from motoko.workers.launcher.batch_run import BatchRun
from motoko.workers.launcher.gathering import (
    GATHER_MORE_S,
    GATHER_PACKS_S,
    GATHER_S,
    QUIET_AGAIN_S,
    QUIET_S,
    SPARING_MOST_S,
    SPARING_S,
    Gathering,
    Submitted,
)


@pytest.fixture
def gathering():
    """Since the 1000th s one of its runs waits; the only submission was 40 s earlier."""
    made = Gathering()
    made.submitted = Submitted(960.0, 960.0)
    made.come(1000.0, is_first=True)
    return made


def runs(count, *, pack=50, attempt=1, was_lost=False):
    entries = {"run_path": str(Path("/x")), "run_name": "r", "batch_attempt": attempt}
    entries |= {"batch_name": f"a.1.{attempt}-0", "state": "launched"}
    policy = Policy().changed({"pack": pack})
    made = [BatchRun.of({**entries, "id": number}, policy) for number in range(count)]
    for run in made:
        run.was_lost = was_lost
    return made


def opens(gathering, waiting, others=0, *, arrays=True):
    return gathering.opens_at(waiting, others, arrays=arrays)


def test_alone(gathering):
    """Nothing is to be gained by waiting."""
    assert opens(gathering, runs(1, pack=None), arrays=False) == 0.0


@pytest.mark.parametrize(("pack", "most"), [(None, GATHER_S), (50, GATHER_PACKS_S)])
def test_created_together(gathering, pack, most):
    """They arrive in parts: as long as they come, but not for ever."""
    waiting = runs(2, pack=pack)
    assert opens(gathering, waiting, 500) == 1000.0 + QUIET_S
    for moment in range(20):
        gathering.come(1001.0 + moment, is_first=False)
    assert opens(gathering, waiting, 500) == 1000.0 + most


@pytest.mark.parametrize(("pack", "most"), [(None, GATHER_S), (50, GATHER_MORE_S)])
def test_more_are_about_to_come(gathering, pack, most):
    """However long each part takes to be prepared."""
    gathering.expect(more=True, next_at=math.inf)
    assert opens(gathering, runs(2, pack=pack)) == 1000.0 + most
    gathering.expect(more=False, next_at=math.inf)
    assert opens(gathering, runs(2, pack=pack)) == 1000.0 + QUIET_S


@pytest.mark.parametrize("again", [{"attempt": 2}, {"was_lost": True}])
def test_again(gathering, again):
    """What is submitted again waits as long as other runs go on."""
    few = runs(9, **again)
    assert opens(gathering, few, 1) == 960.0 + SPARING_S
    assert opens(gathering, few) == 1000.0 + QUIET_AGAIN_S


def test_one_more_is_tried_again_soon(gathering):
    """It takes the others with it, if it comes within the time for these."""
    again = runs(9, was_lost=True)
    gathering.expect(more=False, next_at=1007.0)
    assert opens(gathering, again) == 1007.0 + QUIET_S
    gathering.expect(more=False, next_at=1000.1 + GATHER_PACKS_S)
    assert opens(gathering, again) == 1000.0 + QUIET_AGAIN_S


def test_pauses_grow():
    """Faults for a day: the pauses double, up to a limit; and nothing waits longer than it has."""
    gathering, lost, at = Gathering(), runs(5, was_lost=True), 5000.0
    gathering.gone(runs(5), at, are_all=True)
    pauses = []
    while at < 5000.0 + 86400:
        gathering.come(at + 1.0, is_first=True)
        opened = opens(gathering, lost, 50)
        assert opened - at <= (at - 5000.0) + SPARING_S
        pauses.append(opened - at)
        at = opened
        gathering.gone(lost, at, are_all=True)
    assert pauses[:4] == [120.0, 240.0, 480.0, 960.0] and {*pauses[4:]} == {SPARING_MOST_S}
    gathering.gone(runs(1), at, are_all=True)
    gathering.come(at + 1.0, is_first=True)
    assert opens(gathering, lost, 50) == at + SPARING_S, "with new runs it begins again"


def test_some_of_those_that_wait(gathering):
    """The pause begins once none waits: what takes several submissions is not held up."""
    again = runs(9, was_lost=True)
    gathering.gone(runs(3), 1100.0, are_all=False)
    assert gathering.submitted == Submitted(960.0, 960.0)
    assert opens(gathering, again, 50) < 1100.0
    gathering.gone(again, 1101.0, are_all=True)
    assert gathering.submitted == Submitted(1101.0, 1101.0), "there were new ones among them"
    gathering.gone(again, 1300.0, are_all=True)
    assert gathering.submitted == Submitted(1101.0, 1300.0)


def test_nothing_is_known_of_submissions():
    gathering = Gathering()
    gathering.come(1000.0, is_first=True)
    assert opens(gathering, runs(1, attempt=2), 1000) == 1000.0 + QUIET_AGAIN_S
    gathering.gone(runs(1, attempt=2), 1003.0, are_all=True)
    assert gathering.submitted == Submitted(1003.0, 1003.0)


@pytest.mark.parametrize("others", [{"pack": 50}, {"pack": 1, "attempt": 2}, {"pack": None}])
def test_one_that_must_not_wait(gathering, others):
    """It takes all with it."""
    waiting = [*runs(3, attempt=2), *runs(1, **others)]
    assert opens(gathering, waiting, 500) == 1000.0 + QUIET_S
