"""What a change costs whoever waits, and that nobody sleeps through what is not known.

That nobody sleeps through any change is in test_matches.py.
"""

import contextlib

import pytest
import transaction
from bare_bases import create, lines_of, made

from motoko.store.standing_predicates import StandingPredicates


@pytest.fixture
def base(tmp_path):
    with made(tmp_path) as base:
        yield base


@contextlib.contextmanager
def waiting(base, standing, constraints):
    """Many who wait, have searched in vain, and note in a list that they were told."""
    told = []
    with contextlib.ExitStack() as ended:
        all_of_them = [
            ended.enter_context(standing.waiting([text], lambda text=text: told.append(text)))
            for text in constraints
        ]
        for each in all_of_them:
            assert each.found(lambda each=each: base.matches.find(each.predicate)) == []
        told.clear()
        yield all_of_them, told


@pytest.mark.parametrize(
    "form", ["x = {}, state = FINISHED", "x > {0}.1, x < {0}.2, state = CREATED"]
)
def test_a_change_costs_the_same_whoever_waits(base, form):
    """A change is judged once, against the predicates that it may concern."""
    ((run, _), *_) = create(base, [0, 1, 2])
    transaction.commit()
    costs = []
    for count in (10, 500):
        standing = StandingPredicates(base)
        wanted = [form.format(number) for number in range(100, 100 + count)]
        with waiting(base, standing, [*wanted, f"x = 0, y = {count}"]) as (some, told):
            for y in (0, 1, 2, count):  # the first time, another thing or two has to be loaded
                run.entries["y"] = y
                transaction.commit()
                cost = lines_of(standing.look)
            costs.append(cost)
            assert told == [f"x = 0, y = {count}"]
            assert [found.id for found, _ in some[-1].found(pytest.fail)] == [run.id]
    assert costs[1] == pytest.approx(costs[0], abs=20)


def test_many_search_together(base, monkeypatch):
    """Those who begin at the same time, and again when it is not known what has changed."""
    create(base, [0, 1, 2])
    transaction.commit()
    searches = []
    found = base.matches.found
    monkeypatch.setattr(base.matches, "found", lambda p: searches.append(p.text) or found(p))
    monkeypatch.setattr(base.matches, "find", pytest.fail)
    standing = StandingPredicates(base)
    wanted = [f"x = {number}, state = CREATED" for number in range(100, 200)]
    with waiting(base, standing, wanted) as (some, told):
        assert searches == ["runs.state = CREATED"]
        base.connection._storage._invalidateCache()
        transaction.begin()
        standing.look()
        assert len(told) == 100
        assert not any(each.found(pytest.fail) for each in some)
        assert len(searches) == 2


def test_a_look_that_failed_is_made_up_for(base, monkeypatch):
    ((run, _), *_) = create(base, [0, 1, 2])
    transaction.commit()
    standing = StandingPredicates(base)
    with waiting(base, standing, ["x = 0, state = FINISHED"]) as ((each,), told):
        run.entries["state"] = "FINISHED"
        transaction.commit()
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
            patch.setattr(base, "load_with_jobs", lambda _: 1 / 0)
            standing.look()
        standing.look()
        assert told
        assert len(each.found(lambda: base.matches.find(each.predicate))) == 1
