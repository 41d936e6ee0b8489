"""How many jobs are submitted where the scheduler takes so many and no more."""

import pytest

from motoko.workers.launcher.allowance import LEARNED_S, Allowance


def executed(allowance, limit, wanted, *, ending=3):
    """Have jobs executed, of which some end each second; how often they were taken, and refused."""
    queue, now, taken, refused, waited = 0, 0.0, 0, 0, 0.0
    while wanted or queue:
        now += 1.0
        while wanted and now >= waited and (room := allowance.room(queue, wanted, now)):
            if queue + room <= limit:
                queue, wanted, taken = queue + room, wanted - room, taken + 1
                allowance.accepted(queue)
                continue
            refused += 1
            allowance.refused(queue + room, now)
            if allowance.most(now) >= queue + room:
                waited = now + 30.0
        queue -= min(queue, ending)
        assert now < 10_000, "it does not come to an end"
    return taken, refused


def test_without_a_limit():
    assert executed(Allowance(), 10**9, 2000) == (1, 0)


@pytest.mark.parametrize("limit", [1, 2, 7, 20, 100, 999])
def test_a_limit_that_is_read(limit):
    allowance = Allowance()
    allowance.learn(limit)
    taken, refused = executed(allowance, limit, 2000)
    assert refused == 0 and taken <= 2 * 2000 / limit + 1


@pytest.mark.parametrize("limit", [1, 2, 7, 20, 100, 999])
def test_a_limit_that_is_learned(limit):
    """As many refusals as it takes to halve a number a few times."""
    taken, refused = executed(Allowance(), limit, 2000)
    assert refused <= 16 and taken <= 4 * 2000 / limit + 10


def test_it_is_tried_again():
    """A refusal is forgotten after a while: a limit may have been raised."""
    allowance = Allowance()
    allowance.accepted(10)
    allowance.refused(12, 0.0)
    assert allowance.room(4, 100, 1.0) == 7 and allowance.room(9, 100, 1.0) == 0
    assert allowance.room(4, 100, LEARNED_S + 1) == 16
    allowance.accepted(20)
    assert allowance.most(1.0) == float("inf")


def test_jobs_that_are_leaving():
    """One refusal of what was taken before may be due to jobs that are just over."""
    allowance = Allowance()
    allowance.accepted(20)
    allowance.refused(21, 0.0)
    allowance.refused(18, 1.0)
    assert allowance.most(2.0) == 20
    allowance.refused(18, 3.0)
    assert 9 <= allowance.most(4.0) < 18
