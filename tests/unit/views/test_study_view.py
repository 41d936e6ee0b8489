"""The counts of a study in live views, while they are read and while messages come."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from motoko.bus.messages import Transition
from motoko.reports.state_counts import StateCounts
from motoko.views.study_view import StudyView


def change(run, old, new, tid, study="mult"):
    return Transition(study, run, old, new, f"{tid:016x}", "epoch", tid)


def counts(tid, **states):
    return StateCounts(f"{tid:016x}", Counter(states))


def test_read_then_told():
    view = StudyView("mult")
    view.begin_reading()
    view.read(counts(5, CREATED=2, FINISHED=1), 100.0)
    view.take(change(1, "CREATED", "launched", 6), 101.0)
    view.take(change(2, "CREATED", None, 7), 101.0)
    view.take(change(9, None, "CREATED", 8), 101.0)
    assert view.columns == {"created": 1, "running": 1, "finished": 1}
    assert view.tid == f"{8:016x}"


def test_told_while_being_read():
    """What was read already is not counted again, what is newer is."""
    view = StudyView("mult")
    view.begin_reading()
    view.take(change(1, None, "CREATED", 4), 100.0)
    view.take(change(1, "CREATED", "START", 6), 100.0)
    view.read(counts(5, CREATED=1), 100.0)
    assert view.columns == {"created": 0, "running": 1}
    view.begin_reading()  # again: a message was lost
    view.take(change(1, "START", "FINISHED", 9), 101.0)
    assert view.columns["finished"] == 1, "it is shown while the study is being read"
    view.read(counts(8, START=1), 102.0)
    assert view.columns == {"running": 0, "finished": 1}


def test_several_runs_of_one_transaction():
    view = StudyView("mult")
    view.begin_reading()
    view.read(counts(5), 100.0)
    for run in range(3):
        view.take(change(run, None, "CREATED", 6), 100.0)
    assert view.states["CREATED"] == 3


def test_own_states_count_as_finished_and_ends_make_the_pace():
    view = StudyView("mult")
    view.begin_reading()
    view.read(counts(5, START=20), 100.0)
    for run in range(10):
        view.take(change(run, "START", "FINISHED", 6 + 2 * run), 100.0 + run)
        view.take(change(run, "FINISHED", "FORWARDED", 7 + 2 * run), 100.0 + run)
    assert view.columns["finished"] == 10
    assert view.pace.rate(110.0) == 0.9, "ten ends, not twenty"
    assert view.left(110.0) == 10 / 0.9


def test_problems():
    view = StudyView("mult")
    view.begin_reading()
    view.failed_to_read("no database")
    changes = view.changes
    view.failed_to_read("no database")
    assert view.changes == changes, "nothing new"
    view.unchanged(100.0)
    assert view.read_at is None
    view.begin_reading()
    view.read(counts(5, CREATED=1), 101.0)
    assert not view.problem
    view.unchanged(200.0)
    assert view.read_at == 200.0


@given(
    read_after=st.integers(0, 12),
    states=st.lists(st.sampled_from(["CREATED", "START", "FINISHED", "FAILED"]), max_size=12),
)
def test_the_moment_of_reading_does_not_matter(read_after, states):
    """Whichever of the changes the mirror knows already, the counts are the same at the end."""
    old, changes = None, []
    for tid, new in enumerate(states, 1):
        changes.append(change(1, old, new, tid))
        old = new
    view = StudyView("mult")
    view.begin_reading()
    for each in changes:
        view.take(each, 1.0)
    known = states[:read_after]
    view.read(counts(len(known), **({known[-1]: 1} if known else {})), 2.0)
    assert +view.states == (Counter([old]) if old else Counter())
