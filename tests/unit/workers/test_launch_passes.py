"""A launcher's passes on a study without a server, with an executor that starts nothing."""

import asyncio
import errno
import math
import os
import time

import pytest
import transaction
from bare_studies import study_with_files
from puppet_executor import PuppetExecutor

from motoko.config.policy import Policy
from motoko.runs.ends import RETRY_PAUSE_S, End
from motoko.runs.entries import OwnEntries
from motoko.store.base import open_file
from motoko.store.study_database import create_study
from motoko.store.task_creator import TaskCreator
from motoko.workers.launcher import hindrances, preparing
from motoko.workers.launcher import passes as passing
from motoko.workers.launcher.passes import SLOT_RETRY_S, Passes

RUNS = [1, 2, 3, 4]


@pytest.fixture
def base(tmp_path):
    study = study_with_files(tmp_path, jobs={"x": int}, policy=Policy(retries=1))
    create_study(study)
    base = open_file(study)
    run = {"run_name": "r", "machine_name": "localhost", "nproc": 1}
    TaskCreator(base).create(
        [{"x": number} for number in RUNS],
        run,
        identity=[*run],
    )
    transaction.commit()
    yield base
    base.close()


@pytest.fixture
def soon(monkeypatch):
    """What hinders is tried again at once."""
    monkeypatch.setattr(hindrances, "PAUSE_S", 0.0)


class Transactions:
    """Commits; fails as often as it is told, before or after that."""

    def __init__(self):
        self.repeated_before = self.repeated_after = 0
        self.fault = None

    async def __call__(self, work, tid):
        for _ in range(self.repeated_before):
            work()
            transaction.abort()
        work()
        if self.fault:
            transaction.abort()
            raise self.fault
        transaction.commit()
        for _ in range(self.repeated_after):  # the server died before it said so
            work()
            transaction.commit()


@pytest.fixture
def through():
    return Transactions()


def passes_of(base, executor, through):
    passes = Passes(base, executor, through)
    for number in RUNS:
        passes.agenda.waiting.add(number)
    return passes


def step(passes):
    return asyncio.run(passes.step(b""))


def states(base):
    return [base.runs.entries[number].entries["state"] for number in RUNS]


def test_as_many_start_as_there_is_room_for(base, through):
    executor = PuppetExecutor(2)
    passes = passes_of(base, executor, through)
    assert step(passes) == 0
    assert executor.log == [("begin", 1, 1, 0), ("begin", 2, 1, 1)] and executor.is_short
    assert states(base) == ["launched", "launched", "CREATED", "CREATED"]
    assert executor.released == [[0], [1]]
    assert list(passes.agenda.due(0.0)) == [3, 4] and passes.pause() == SLOT_RETRY_S


def test_not_all_that_wait_are_looked_at(base, through):
    executor = PuppetExecutor(9)
    executor.reach = 3
    passes = passes_of(base, executor, through)
    step(passes)
    assert len(executor.log) == 3 and passes.pause() == 0.0, "there may be more"
    step(passes)
    assert len(executor.log) == 4 and passes.pause() is None
    assert executor.expected == [(True, math.inf), (False, math.inf)]


def test_paused(base, through):
    executor = PuppetExecutor(2)
    passes = passes_of(base, executor, through)
    passes.paused = True
    assert step(passes) is None and executor.log == []
    passes.agenda.note_end(1, End(code=0), 0.0)
    assert step(passes) == 1, "what has ended is recorded all the same"
    assert executor.log == [] and passes.pause() is None


@pytest.mark.parametrize("since", [0.0, None])
def test_many_ends_are_recorded_by_several_passes(base, through, monkeypatch, since):
    """Else a launcher that comes back to many is taken for hung, and has recorded none."""
    monkeypatch.setattr(passing, "NEWS_AT_ONCE", 3)
    passes = Passes(base, PuppetExecutor(0), through)
    for number in RUNS:
        passes.agenda.note_end(number, End(code=1), since)
    assert step(passes) == 3 and passes.pause() == 0.0
    assert step(passes) == 1 and not passes.agenda.news.ended
    transaction.begin()
    for number in RUNS:
        passes.agenda.note_change(number, {"batch_state": "RUNNING"})
    assert step(passes) == 0 and passes.pause() == 0.0
    step(passes)
    own = [OwnEntries(base.runs.entries[number].entries) for number in RUNS]
    assert [entries.batch_state for entries in own] == ["RUNNING"] * 4
    assert not passes.agenda.news.changed and passes.pause() != 0.0


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_that_is_repeated_starts_once(base, through, moment):
    executor = PuppetExecutor(2)
    executor.ahead.has_taken(0.001)
    passes = passes_of(base, executor, through)
    setattr(through, f"repeated_{moment}", 2)
    step(passes)
    assert executor.log == [("begin", 1, 1, 0), ("begin", 2, 1, 1)]
    assert states(base) == ["launched"] * 4 and list(executor.ahead.runs) == [3, 4]
    assert [OwnEntries(base.runs.entries[n].entries).attempt for n in RUNS] == [1] * 4


def test_what_is_not_committed_does_not_begin(base, through):
    executor = PuppetExecutor(1)
    passes = passes_of(base, executor, through)
    passes.agenda.note_end(4, End(code=3), 0.0)
    through.fault = RuntimeError("the server said no")
    with pytest.raises(RuntimeError):
        step(passes)
    assert executor.log == [("abandon", 1, 1)] and executor.released == [[0]]
    assert states(base) == ["CREATED"] * 4 and list(passes.agenda.due(0.0)) == RUNS
    assert list(passes.agenda.news.ended) == [4]


def test_what_changed_during_the_commit_does_not_begin(base, through):
    executor = PuppetExecutor(2)
    passes = passes_of(base, executor, through)

    async def overtaken(work, tid):
        work()
        transaction.abort()
        base.runs.entries[1].entries["state"] = "FAILED"  # cancelled
        work()
        transaction.commit()

    passes._transaction = overtaken
    step(passes)
    assert executor.log == [("abandon", 1, 1), ("begin", 2, 1, 1)]
    assert states(base) == ["FAILED", "launched", "CREATED", "CREATED"]


def test_ends_and_what_follows_from_them(base, through):
    executor = PuppetExecutor(1)
    passes = passes_of(base, executor, through)
    step(passes)
    passes.agenda.note_end(1, End(code=3), 0.0)
    executor.places = 0
    assert step(passes) == 1
    entries = base.runs.entries[1].entries
    own = OwnEntries(entries)
    assert (entries["state"], own.attempt, own.exit_code) == ("CREATED", 2, 3)
    assert passes.agenda.waiting.next_at(own.retry_at - 1) == own.retry_at
    assert executor.expected[-1] == (False, math.inf), "there is no room"
    executor.places = 9
    step(passes)
    more, at = executor.expected[-1]
    assert not more and at <= time.monotonic() + RETRY_PAUSE_S, "the executor knows when it comes"


def test_those_that_wait_for_room_for_too_long_wait_like_the_others(base, through):
    executor = PuppetExecutor(0)
    executor.ahead.has_taken(0.001)
    passes = passes_of(base, executor, through)
    step(passes)
    assert states(base) == ["launched"] * 4 and list(executor.ahead.runs) == RUNS
    passes.paused = True  # nothing is to start: at once
    step(passes)
    assert states(base) == ["CREATED"] * 4 and not executor.ahead.runs
    assert list(passes.agenda.due(0.0)) == RUNS


def test_runs_that_end_meanwhile_make_room_at_once(base, through):
    """Not if runs are given back in this pass: they must not start."""
    executor = PuppetExecutor(0)
    executor.ahead.has_taken(0.001)
    passes = passes_of(base, executor, through)
    step(passes)
    assert executor.attended == len(RUNS)
    passes.agenda.note_unstarted(1)
    passes.agenda.note_end(2, End(code=0), 0.0)
    step(passes)
    assert executor.attended == len(RUNS) and states(base)[0] == "CREATED"


def test_a_run_that_cannot_be_prepared_fails_alone(base, through):
    executor = PuppetExecutor(9)
    base.runs.entries[2].entries["nproc"] = 3  # more than there are: it takes all
    del base.runs.entries[3].entries["exec"]
    transaction.commit()
    passes = passes_of(base, executor, through)
    step(passes)
    assert [event[1] for event in executor.log] == [1, 2, 4]
    assert states(base) == ["launched", "launched", "FAILED", "launched"]
    assert "exec" in str(OwnEntries(base.runs.entries[3].entries).failure_reason)


def test_a_deleted_run(base, through):
    executor = PuppetExecutor(9)
    passes = passes_of(base, executor, through)
    del base.runs.entries[1]
    transaction.commit()
    passes.agenda.note_end(1, End(code=0), 0.0)
    passes.agenda.note_change(1, {"batch_state": "RUNNING"})
    step(passes)
    assert [event[1] for event in executor.log] == [2, 3, 4]


class TestTheMachinesTroubles:
    """The machine's troubles fail no run: runs wait, and go on by themselves."""

    def all_wait(self, base, passes):
        assert states(base) == ["CREATED"] * 4 and list(passes.agenda.due(0.0)) == RUNS
        assert [OwnEntries(base.runs.entries[n].entries).failure_reason for n in RUNS] == [None] * 4

    def test_no_slot_can_be_taken(self, base, through):
        executor = PuppetExecutor(9)
        executor.hindrance = "too many open files"
        passes = passes_of(base, executor, through)
        step(passes)
        self.all_wait(base, passes)
        assert passes.hindrance.reason == "too many open files"
        assert 0.0 < passes.pause() <= hindrances.PAUSE_S
        executor.hindrance = None
        assert step(passes) is None and executor.log == [], "it is not tried all the time"
        passes.agenda.note_end(1, End(code=0), 0.0)
        assert step(passes) == 1 and executor.log == [], "ends are recorded meanwhile"

    def test_it_goes_on(self, base, through, soon):
        executor = PuppetExecutor(9)
        executor.hindrance = "too many open files"
        passes = passes_of(base, executor, through)
        step(passes)
        executor.hindrance = None
        step(passes)
        assert states(base) == ["launched"] * 4 and passes.hindrance.reason == ""

    def test_no_process_can_be_started(self, base, through, soon):
        executor = PuppetExecutor(9)
        executor.can_start = 1
        passes = passes_of(base, executor, through)
        step(passes)
        assert executor.log == [("begin", 1, 1, 0)]
        assert states(base) == ["launched", "CREATED", "CREATED", "CREATED"]
        assert passes.hindrance.reason == "no process can be started"
        executor.can_start = 99
        step(passes)
        assert [event[:3] for event in executor.log] == [("begin", n, 1) for n in RUNS]

    def test_what_a_predecessor_has_launched_stays_so(self, base, through, soon):
        passes = passes_of(base, PuppetExecutor(9), through)
        step(passes)
        executor = PuppetExecutor(9)
        executor.can_start = 0
        passes = Passes(base, executor, through)
        passes.agenda.unstarted.update(RUNS)
        step(passes)
        assert states(base) == ["launched"] * 4 and passes.agenda.unstarted == {*RUNS}

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE])
    def test_its_directory_cannot_be_written(self, base, through, soon, monkeypatch, number):
        def failing(directory, files, **options):
            raise OSError(number, os.strerror(number), str(directory / "launch.sh"))

        executor = PuppetExecutor(9)
        passes = passes_of(base, executor, through)
        with monkeypatch.context() as patch:
            patch.setattr(preparing, "write", failing)
            step(passes)
        self.all_wait(base, passes)
        assert passes.hindrance.reason.endswith(f"run-1/launch.sh: {os.strerror(number)}")
        step(passes)
        assert [event[:3] for event in executor.log] == [("begin", n, 1) for n in RUNS]

    def test_what_does_not_pass_is_the_runs(self, base, through, monkeypatch):
        def failing(directory, files, **options):
            raise PermissionError(errno.EACCES, "Permission denied", str(directory))

        monkeypatch.setattr(preparing, "write", failing)
        passes = passes_of(base, PuppetExecutor(9), through)
        step(passes)
        assert states(base) == ["FAILED"] * 4 and passes.hindrance.reason == ""

    def test_the_environment_is_gone(self, base, through, soon, monkeypatch):
        executor = PuppetExecutor(9)
        passes = passes_of(base, executor, through)
        with monkeypatch.context() as patch:
            patch.setattr(hindrances.run_programs, "programs", lambda: ["/nonexistent/bin"])
            step(passes)
        self.all_wait(base, passes)
        assert "/nonexistent/bin is gone" in passes.hindrance.reason
        step(passes)
        assert states(base) == ["launched"] * 4

    def test_nothing_was_started(self, base, through):
        """A wrapper that cannot claim the attempt uses up no attempt."""
        executor = PuppetExecutor(9)
        passes = passes_of(base, executor, through)
        step(passes)
        executor.places = 0
        passes.agenda.note_unstarted(2)
        step(passes)
        assert states(base) == ["launched", "CREATED", "launched", "launched"]
        assert list(passes.agenda.due(0.0)) == [2]
        assert OwnEntries(base.runs.entries[2].entries).attempt == 1

    def test_with_nothing_to_start_nothing_hinders(self, base, through):
        executor = PuppetExecutor(9)
        executor.hindrance = "too many open files"
        passes = passes_of(base, executor, through)
        step(passes)
        for number in RUNS:
            passes.agenda.drop(number)
        step(passes)
        assert passes.hindrance.reason == "" and passes.pause() is None
