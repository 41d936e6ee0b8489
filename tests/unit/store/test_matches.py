"""Matches that are kept up to date are those that a search of all runs would find."""

import contextlib
import getpass
import pickle
import random
import tempfile
from pathlib import Path

import pytest
import transaction
from bare_bases import create, lines_of, made, predicate
from BTrees.OOBTree import OOBTree
from followed_mirrors import FollowedMirror
from hypothesis import given, settings
from hypothesis import strategies as st
from ZODB.POSException import ConflictError

from motoko.errors import ConstraintError
from motoko.runs.entries import OwnEntries
from motoko.store import matches
from motoko.store.changes import capture
from motoko.store.standing_predicates import StandingPredicates

CONSTRAINTS = [
    "state = FINISHED",
    "state != FINISHED, x > 1",
    "runs.id > 3, state ~ ^[CF]",
    "runs.id = 4, state = FINISHED",
    "y < 3",
    "jobs.x = 2, y = 1",
    "note = seen",
    "",
]


@contextlib.contextmanager
def beside(base):
    """What others do: a view and transactions of its own."""
    manager = transaction.TransactionManager()
    connection = base.db.open(manager)
    try:
        yield connection
    finally:
        manager.abort()
        connection.close()


@pytest.fixture(params=["all runs", "mirror", "old mirror"])
def base(request, tmp_path):
    """Runs are found by looking at all, or by a mirror."""
    with made(tmp_path) as base:
        if request.param != "all runs":
            base.mirror = FollowedMirror(base, follows=request.param == "mirror")
        yield base


@pytest.fixture
def other(base):
    with beside(base) as connection:
        yield connection


def searched(base, wanted):
    """By looking at everything."""
    jobs = base.jobs.entries
    return [
        number
        for number, run in base.runs.entries.items()
        if wanted(
            {**vars(run), **dict(run.entries.items())}, dict(jobs[run.entries["job_id"]].entries)
        )
    ]


def check(base):
    for text in CONSTRAINTS:
        wanted = predicate(base, text)
        found = base.matches.find(wanted)
        assert [run.entries["id"] for run, _ in found] == searched(base, wanted), text
        for run, job in found:
            assert run is base.runs.entries[run.entries["id"]]
            assert job is base.jobs.entries[run.entries["job_id"]]


class Awaits:
    """Who waits for each of the constraints, and sleeps until told."""

    def __init__(self, base):
        self.base = base
        self.standing = StandingPredicates(base)
        self.waiting = {}  # and has been told

    def check(self):
        """They are told whatever meets their constraints, and nobody sleeps through it."""
        self.standing.look()
        for text in CONSTRAINTS:
            wanted = predicate(self.base, text)
            if text not in self.waiting:
                told = [True]
                block = self.standing.waiting([text], lambda told=told: told.append(True))
                self.waiting[text] = block, block.__enter__(), told
            block, standing, told = self.waiting[text]
            numbers = searched(self.base, wanted)
            found = standing.found(lambda wanted=wanted: self.base.matches.find(wanted)) * any(told)
            assert [run.entries["id"] for run, _ in found] == numbers, text
            told.clear()
            if numbers:  # it has what it wants
                block.__exit__(None, None, None)
                del self.waiting[text]


def content(connection):
    return connection.root()["schemas"].entries[f"{getpass.getuser()}_study"]


def a_run(content, rng):
    runs = content["Runs"].entries
    return runs[rng.choice(list(runs.keys()))] if runs else None


def change(content, rng):
    """Something that happens to a run or a job."""
    run = a_run(content, rng)
    if run is None:
        return
    match rng.randrange(7):
        case 0 | 1 | 2:
            run.entries["state"] = rng.choice(["CREATED", "START", "FINISHED", "FAILED"])
        case 3:
            run.entries["y"] = rng.randrange(5)
        case 4:
            run.note = rng.choice(["seen", "unseen"])
        case 5:  # grows out of one record
            for number in range(20):
                run.entries[f"more{rng.randrange(50)}"] = number
        case 6:
            content["Jobs"].entries[run.entries["job_id"]].entries["x"] = rng.randrange(4)


def commit():
    try:
        transaction.commit()
    except ConflictError:
        transaction.abort()


@settings(max_examples=12, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_whatever_happens(rng):
    with (
        tempfile.TemporaryDirectory() as place,
        made(Path(place)) as base,
        beside(base) as other,
    ):
        whatever_happens(base, other, rng)


@pytest.mark.parametrize("seed", range(10, 18))
def test_whatever_becomes_of_the_mirror(tmp_path, seed):
    """Selections are right whether the mirror lags, is ahead, lost, damaged or new."""
    with made(tmp_path) as base, beside(base) as other:
        mirror = FollowedMirror(base, follows=False)
        whatever_happens(base, other, random.Random(seed), mirror)


def whatever_happens(base, other, rng, mirror=None):
    create(base, [0, 1, 2])
    commit()
    awaits = Awaits(base)
    for _ in range(150):
        match rng.randrange(10):
            case 0:
                create(
                    base, [rng.randrange(4) for _ in range(rng.randrange(1, 4))], rng.randrange(3)
                )
            case 1 | 2:
                change(base.content, rng)
            case 3:
                commit()
            case 4:
                transaction.abort()
            case 5 | 6 | 7:
                commit()  # so that nobody has a conflict
                other.transaction_manager.begin()
                change(content(other), rng)
                other.transaction_manager.commit()
            case 8:
                commit()
                other.transaction_manager.begin()
                runs = content(other)["Runs"].entries
                if runs and rng.random() < 0.5:
                    del runs[rng.choice(list(runs.keys()))]
                other.transaction_manager.commit()
            case 9:
                transaction.begin()
        if mirror is not None and rng.random() < 0.7:
            mirror.something_happens(rng)
        if rng.random() < 0.7:
            check(base)
        if rng.random() < 0.5:
            commit()
            awaits.check()
    check(base)


def test_flushed_cache(base):
    create(base, [0, 1, 2])
    transaction.commit()
    check(base)
    base.connection._storage._invalidateCache()  # as after a long disconnection
    transaction.begin()
    check(base)


def test_replaced_container(base, other):
    create(base, [0, 1, 2])
    transaction.commit()
    check(base)
    other.transaction_manager.begin()
    entries = content(other)["Runs"].entries
    content(other)["Runs"].entries = OOBTree({2: entries[2], 3: entries[1]})
    other.transaction_manager.commit()
    transaction.begin()
    wanted = predicate(base, "state = CREATED")
    assert [
        run is base.runs.entries[n]
        for (run, _), n in zip(base.matches.find(wanted), (2, 3), strict=True)
    ] == [True, True]


def test_what_is_captured_before_a_commit(base):
    """Runs and jobs, not the study's own counters: a creation is repeated as a whole."""
    ((run, _),) = create(base, [0])
    transaction.commit()
    create(base, [1])
    run.entries["y"] = 7
    captured = capture(base.connection)
    assert [each.content.get("id") for each in captured] == [run.entries["id"]]


def test_many_predicates(base):
    """Predicates that are not used any more are dropped."""
    create(base, [0, 1, 2])
    transaction.commit()
    for number in range(1250):
        assert len(base.matches.find(predicate(base, f"x < {number}"))) == min(number, 3)
    assert len(base.matches._matching) <= 1000


def test_a_change_costs_the_same_whatever_is_cached(base):
    """A change is noted once, not once for each known predicate."""
    ((run, _), *_) = create(base, [0, 1, 2])
    transaction.commit()

    def change():
        run.entries["y"] += 1
        transaction.commit()
        base.matches.find(predicate(base, "y > 0"))

    costs = []
    for count in (1, 500):
        for number in range(count):
            base.matches.find(predicate(base, f"x < {number}"))
        change()
        # A database may have something to tidy up meanwhile.
        costs.append(min(lines_of(change) for _ in range(3)))
    assert costs[1] == pytest.approx(costs[0], abs=10)


def test_deleted_runs_are_forgotten(base, monkeypatch):
    """Changes are kept of about as many runs as there are; who has slept searches anew."""
    monkeypatch.setattr(matches, "CHANGED_MIN", 10)
    sleeping = predicate(base, "state = FINISHED")
    for turn in range(30):
        for run, _ in create(base, [0, 1, 2], y=turn):
            run.entries["state"] = "FINISHED"
        transaction.commit()
        if turn % 8 == 0:
            assert len(base.matches.find(sleeping)) == 3
        check(base)
        for number in list(base.runs.entries):
            del base.runs.entries[number]
        transaction.commit()
        check(base)
        assert len(base.matches._changed_at) <= 10 + 3


def test_only_what_changed_is_read(base, other):
    """A commit by somebody else costs one run's reading, however many there are."""
    create(base, range(300))
    transaction.commit()
    wanted = predicate(base, "state = FINISHED")
    assert base.matches.find(wanted) == []
    other.transaction_manager.begin()
    content(other)["Runs"].entries[17].entries["state"] = "FINISHED"
    other.transaction_manager.commit()
    transaction.begin()
    looked_at = []
    meets = base.matches.meets
    base.matches.meets = lambda *args: looked_at.append(args[1].entries["id"]) or meets(*args)
    assert [run.entries["id"] for run, _ in base.matches.find(wanted)] == [17]
    assert looked_at == [17]
    assert len(base.matches.find(wanted)) == 1 and looked_at == [17]


# Motoko's own entries, under their documented names


@pytest.fixture
def prepared(base):
    (run, _), _ = create(base, [1, 2])
    OwnEntries(run.entries).update(
        {"attempt": 2, "state": "launched", "run_path": "/w", "failure_reason": "diverged at 3"}
    )
    return run


def test_attributes_and_items(prepared):
    run = prepared
    assert (run.attempt, run["attempt"], run["FAILURE_REASON"]) == (2, 2, "diverged at 3")
    assert not hasattr(run, "retry_at")
    with pytest.raises(KeyError):
        run["retry_at"]


def test_what_a_user_sets_is_the_users(prepared):
    run = prepared
    run["attempt"] = 7
    run["Retry_at"] = "newton-2"
    run.exit_code = "none"
    run["batch_name"] = "mine"
    assert (run.attempt, run["attempt"], run.retry_at) == (2, 7, "newton-2")
    assert run.exit_code == "none" and pickle.loads(pickle.dumps(vars(run)["exit_code"])) == "none"
    own = OwnEntries(run.entries)
    assert (own.attempt, own.retry_at, own.exit_code, own.is_job) == (2, 0.0, None, False)
    run.attempt = 8  # an entry of the user's that there is
    assert (run.attempt, run["attempt"], own.attempt) == (2, 8, 2)
    del run.exit_code
    assert not hasattr(run, "exit_code")


def test_constraints(base, prepared):
    run = prepared
    run["attempt"] = 7

    def ids(text):
        return [found.id for found, _ in base.select_pairs(predicate(base, text))]

    assert ids("attempt = 2") == ids("runs.failure_reason ~ diverged") == [run.id]
    assert ids("attempt = 7") == ids("runs.id > 0, failure_reason = x") == []
    with pytest.raises(ConstraintError, match="batch_nodes"):
        ids("batch_nodes = n1")
    OwnEntries(run.entries).update({"batch_nodes": "n1"})
    assert ids("batch_nodes = n1") == [run.id]
