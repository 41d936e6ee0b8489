"""Runs wait for others to be submitted with them, and no longer than that is worth."""

from pathlib import Path

import pytest

from motoko.config.policy import Policy
from motoko.workers.launcher.batch_run import BatchRun
from motoko.workers.launcher.gathering import (
    GATHER_PACKS_S,
    GATHER_S,
    QUIET_AGAIN_S,
    QUIET_S,
    SPARING_S,
    Gathering,
)


@pytest.fixture
def gathering():
    """Since the 1000th s one of its runs waits; the last submission was 40 s earlier."""
    made = Gathering()
    made.submitted(960.0)
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


@pytest.mark.parametrize("again", [{"attempt": 2}, {"was_lost": True}])
def test_again(gathering, again):
    """What is submitted again waits as long as most runs go on without it."""
    few = runs(9, **again)
    assert opens(gathering, few, 10) == 960.0 + SPARING_S
    assert opens(gathering, few, 9) == opens(gathering, few) == 1000.0 + QUIET_AGAIN_S
    gathering.submitted(700.0)  # noted late: the later one counts
    assert opens(gathering, few, 10) == 960.0 + SPARING_S


def test_the_last_submission_was_long_ago():
    gathering = Gathering()
    gathering.come(1000.0, is_first=True)
    assert opens(gathering, runs(1, attempt=2), 1000) == 1000.0 + QUIET_AGAIN_S


@pytest.mark.parametrize("others", [{"pack": 50}, {"pack": 1, "attempt": 2}, {"pack": None}])
def test_one_that_must_not_wait(gathering, others):
    """It takes all with it."""
    waiting = [*runs(3, attempt=2), *runs(1, **others)]
    assert opens(gathering, waiting, 500) == 1000.0 + QUIET_S
