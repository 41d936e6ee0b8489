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


def test_transitions_of_runs_that_many_wait_for(base):
    """Each waits for a run of its own: of others a transition is enough to know."""
    standing = StandingPredicates(base)
    wanted = [f"runs.id = {number}, state = FINISHED" for number in range(100, 200)]
    with waiting(base, standing, wanted):
        assert standing.admit({"id": 150, "state": "FINISHED"})
        assert not standing.admit({"id": 150, "state": "FAILED"})
        assert not standing.admit({"id": 300, "state": "FINISHED"})
        with standing.waiting(["run_name ~ x"], lambda: None):
            assert standing.admit({"id": 300, "state": "FINISHED", "run_name": "x"})
    assert not standing.admit({"id": 150, "state": "FINISHED"})


def set_entries(run, **values):
    run.entries.update(values)
    transaction.commit()


class TestKept:
    """Runs that meet constraints: their waiters are told of whatever happens to them."""

    @pytest.fixture
    def waiter(self, base):
        """Waits for more of ``y = 1``: looks, and returns whether it was told."""
        (self.one, _), (self.other, _), (self.third, _) = create(base, [0, 1, 2])
        self.one.entries["y"] = 1
        transaction.commit()
        self.standing, told = StandingPredicates(base), []
        with self.standing.waiting(["y = 1"], lambda: told.append(1)) as standing:

            def look():
                self.standing.look()
                answer = bool(told)
                told.clear()
                standing.keep(lambda: base.matches.find(standing.predicate))
                return answer

            look()
            yield look

    def test_one_that_comes_and_one_that_goes(self, waiter):
        assert not waiter()
        set_entries(self.other, y=1)
        assert waiter()
        set_entries(self.one, y=2)
        assert waiter()
        set_entries(self.one, y=3)
        assert not waiter()

    def test_one_that_changes_in_another_way(self, waiter):
        set_entries(self.one, z=1)
        assert waiter()
        set_entries(self.other, z=1)
        assert not waiter()

    def test_one_that_is_deleted(self, base, waiter):
        del base.runs.entries[self.one.entries["id"]]
        transaction.commit()
        assert waiter()
        set_entries(self.other, z=1)
        assert not waiter()

    def test_transitions_that_concern_them(self, base, waiter):
        """Only what a transition tells is known of the run."""
        standing = StandingPredicates(base)
        with standing.waiting(["state = CREATED"], lambda: None) as created:
            created.keep(lambda: [(self.one, None)])
            assert standing.admit({"id": self.one.entries["id"], "state": "FINISHED"})
            assert not standing.admit({"id": self.other.entries["id"], "state": "FINISHED"})

    def test_changes_of_no_state(self, base):
        """By default, whether they count is told by the constraints."""
        standing = StandingPredicates(base)
        with standing.waiting(["state = CREATED"], lambda: None, states_only=False):
            assert not standing.states_only
        with standing.waiting(["state = CREATED"], lambda: None):
            assert standing.states_only

    def test_others_are_told_when_a_waiter_has_gone(self, base, waiter):
        with self.standing.waiting(["y = 7"], lambda: None) as gone:
            gone.keep(list)
            set_entries(self.other, y=1)
        assert waiter()
