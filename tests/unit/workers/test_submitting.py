"""Runs are submitted once each, and what the machine or the scheduler cannot now is done later."""

import asyncio
import errno
import os
import time
from functools import partial
from pathlib import Path

import pytest
from fictitious_batch import Fictitious

from motoko.batch.batch_system import JobRefused, QueueFull, SchedulerSilent
from motoko.batch.commands import Commands
from motoko.batch.job_names import Names, parts
from motoko.config.policy import Policy
from motoko.runs import packs
from motoko.runs.ends import End
from motoko.runs.job_facts import GATHERED, PACKING, SUBMITTING
from motoko.workers.launcher import submitting
from motoko.workers.launcher.batch_run import BatchRun
from motoko.workers.launcher.submitting import Submitter

NAMES = partial(Names(Path("/w/motoko.yaml")).fresh, "a")


@pytest.fixture
def run(tmp_path):
    (tmp_path / "launch.sh").write_text("#!/bin/sh\ntrue\n")
    entries = {"id": 7, "run_path": str(tmp_path), "run_name": "r", "batch_name": "n"}
    return BatchRun.of({**entries, "state": "launched"}, Policy())


@pytest.fixture
def scheduler():
    return Fictitious().scheduler(Commands())


@pytest.fixture
def submitter(tmp_path, scheduler):
    places = (tmp_path / "batch", tmp_path / "channel"), tmp_path / "spool"
    return Submitter(*places, Fictitious(), scheduler, NAMES)


def outcome(submitter, run):
    submitter.queue.append(run)
    return asyncio.run(submitter.submit())[run]


def answering(scheduler, monkeypatch, error):
    async def submit(submission):
        raise error

    monkeypatch.setattr(scheduler, "submit", submit)


def test_submitted(submitter, run, scheduler):
    assert outcome(submitter, run) == {"batch_job_id": "1", "batch_state": "PENDING"}
    assert run.followed.job == "1" and run.followed.name == "n" and not submitter.queue
    assert [submission.name for submission in scheduler.submissions] == ["n"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE, errno.EIO])
def test_what_passes_is_waited_for(submitter, run, monkeypatch, number):
    def failing(path, *args, **options):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing)
        patch.setattr(Path, "read_bytes", failing)
        with pytest.raises(OSError, match=os.strerror(number)):
            outcome(submitter, run)
    assert list(submitter.queue) == [run] and submitter.is_open
    submitter.queue.clear()
    assert outcome(submitter, run)["batch_job_id"] == "1"


def test_the_jobs_script_cannot_be_written(submitter, run, tmp_path):
    (tmp_path / "batch").write_text("no directory\n")
    with pytest.raises(OSError):
        outcome(submitter, run)
    assert list(submitter.queue) == [run]


def test_its_directory_is_gone(submitter, run, tmp_path):
    (tmp_path / "launch.sh").unlink()
    end = outcome(submitter, run)
    assert isinstance(end, End) and end.final and "launch.sh" in end.reason


def test_the_scheduler_takes_no_more(submitter, run, scheduler, monkeypatch):
    answering(scheduler, monkeypatch, QueueFull("fsub takes no more jobs now"))
    state = outcome(submitter, run)["batch_state"]
    assert state == "not submitted yet: fsub takes no more jobs now"
    assert list(submitter.queue) == [run] and not submitter.is_open


def test_it_refuses(submitter, run, scheduler, monkeypatch):
    answering(scheduler, monkeypatch, JobRefused("no such partition"))
    assert outcome(submitter, run) == End(reason="no such partition", final=True)


def test_it_gives_no_answer(submitter, run, scheduler, monkeypatch):
    """A job may have been queued: nothing is submitted until a later question is answered."""
    answering(scheduler, monkeypatch, SchedulerSilent("fsub gave no answer in time"))
    assert outcome(submitter, run) == {}
    submitter.add(run)
    assert not submitter.is_open
    submitter.answered(run.followed.since - 1.0)
    assert not submitter.is_open
    submitter.answered(run.followed.since + 1.0)
    assert submitter.is_open


class TestArrays:
    @pytest.fixture
    def submitter(self, tmp_path, scheduler):
        places = (tmp_path / "batch", tmp_path / "channel"), tmp_path / "spool"
        return Submitter(*places, Fictitious(), scheduler, NAMES, arrays=True)

    @pytest.fixture
    def runs(self, tmp_path, submitter):
        """Makes runs of such numbers, and has them wait to be submitted."""

        def make(*numbers, launch="#!/bin/sh\ntrue\n", attempt=1, pack=None):
            found = []
            for number in numbers:
                place = tmp_path / f"run-{number}"
                place.mkdir()
                (place / "launch.sh").write_text(launch)
                name = f"a.{number}.{attempt}-0123456789abcdef0123"
                entries = {"id": number, "run_path": str(place), "run_name": "r"}
                entries |= {"batch_name": name, "batch_attempt": attempt, "state": "launched"}
                found.append(BatchRun.of(entries, Policy().changed({"pack": pack})))
                submitter.add(found[-1])
            return found

        return make

    @staticmethod
    def submitted(submitter, scheduler):
        """Submit all; the elements of each submission."""
        rounds = 0
        while submitter.queue and rounds < 40 and submitter.opens_at < time.monotonic() + 5:
            asyncio.run(submitter.submit())
            rounds += 1
        return [list(each.elements) for each in scheduler.submissions]

    def test_within_the_limits(self, submitter, runs, scheduler):
        """Few elements, and small indices."""
        made = runs(*range(1, 13), 30, 31, 99)
        assert not submitter.is_open, "others may come"
        assert self.submitted(submitter, scheduler) == [
            *([*range(8)], [*range(4)], [0, 1], []),
        ]
        assert [run.followed.job for run in made[:9]] == [*(f"1_{n}" for n in range(8)), "2_0"]
        assert made[-1].followed.job == "4" and made[-1].followed.name.startswith("a.99.")
        names = [each.name for each in scheduler.submissions]
        assert [name.split(".")[1] for name in names] == ["1", "9", "30", "99"]

    def test_those_that_are_alike(self, submitter, runs, scheduler):
        runs(2, 4)
        runs(3, 5, launch="#F wide\ntrue\n")
        runs(6, attempt=2)
        runs(7, launch="#F forbidden\ntrue\n")
        assert self.submitted(submitter, scheduler) == [[0, 2], [0, 2], []]

    def test_too_many_now(self, submitter, runs, scheduler, monkeypatch):
        """Halves are tried; when not even one is taken, nothing for a while."""
        accept, room = scheduler.submit, [5]

        async def submit(submission):
            count = max(1, len(submission.elements))
            if count > room[0]:
                raise QueueFull("too many")
            room[0] -= count
            return await accept(submission)

        monkeypatch.setattr(scheduler, "submit", submit)
        runs(*range(1, 9))
        assert self.submitted(submitter, scheduler) == [[0, 1, 2, 3], []]
        assert len(submitter.queue) == 3 and submitter.opens_at > time.monotonic() + 20

    def test_refused(self, submitter, runs, scheduler, monkeypatch):
        """If one alone is refused as well, all are; if not, there are no more arrays."""
        calls = []
        accept = scheduler.submit

        async def submit(submission):
            calls.append(submission)
            if submission.elements or "wrong" in submission.options:
                raise JobRefused("no")
            return await accept(submission)

        monkeypatch.setattr(scheduler, "submit", submit)
        runs(1, 2, 3, launch="#F wrong\ntrue\n")
        assert asyncio.run(submitter.submit()) == {}, "limits are asked for"
        outcomes = asyncio.run(submitter.submit())
        assert list(outcomes.values()) == [End(reason="no", final=True)] * 3 and len(calls) == 2
        runs(4, 5, 6)
        assert self.submitted(submitter, scheduler) == [[], [], []]
        assert len(calls) == 2 + 4

    def test_no_answer(self, submitter, runs, scheduler, monkeypatch):
        """The jobs of all are looked for."""
        made = runs(1, 2)
        asyncio.run(submitter.submit())
        answering(scheduler, monkeypatch, SchedulerSilent("gave no answer"))
        assert asyncio.run(submitter.submit()) == {run: {} for run in made}
        assert not submitter.queue and {run.followed.job for run in made} == {None}

    def test_packs(self, submitter, runs, scheduler, tmp_path):
        """Each element of the array is a pack, under a name of its own, whose file is written."""
        made = runs(*range(3, 12), 30, pack={"runs": 4, "at_once": 2})
        names = [run.followed.name for run in made]
        assert self.submitted(submitter, scheduler) == [[0, 1, 2]]
        (first,) = scheduler.submissions
        assert first.directory == packs.folder(tmp_path) and first.arguments[-1] == "2"
        assert [run.followed.job for run in made] == [*["1_0"] * 4, *["1_1"] * 4, "1_2", "1_2"]
        found = {pack.name: pack for pack in packs.all_of(tmp_path)}
        assert [*found] == sorted({run.followed.name for run in made}) and len(found) == 3
        for run, name in zip(made, names, strict=True):
            assert run.followed.packed and run.followed.name != name
            assert found[run.followed.name].members[run.run_id] == name
        leaders = [parts(made[index].followed.name) for index in (0, 4, 8)]
        assert [leader[1] for leader in leaders] == [3, 4, 5]
        assert len({leader[::2] for leader in leaders}) == 1

    def test_attempts_in_a_pack(self, submitter, runs, scheduler, tmp_path):
        """What is tried again joins the others: a pack knows each run's attempt."""
        runs(2, 4, 6, pack=2)
        runs(3, 300, attempt=3, pack=2)
        assert self.submitted(submitter, scheduler) == [[0, 1, 2]], "whatever their numbers are"
        attempts = {n: p.attempt(n) for p in packs.all_of(tmp_path) for n in p.members}
        assert attempts == {2: 1, 4: 1, 6: 1, 3: 3, 300: 3}

    def test_packs_within_the_limits(self, submitter, runs, scheduler):
        runs(*range(1, 20), pack=2)
        assert self.submitted(submitter, scheduler) == [[*range(8)], [0, 1]]

    @pytest.mark.parametrize(
        ("state", "pack", "launch", "waits"),
        [
            (PACKING, 4, "true", True),
            (GATHERED, 4, "true", True),
            (SUBMITTING, 4, "true", False),  # it was submitted under its own name, perhaps
            (PACKING, None, "true", False),
            (PACKING, 4, "#F single\ntrue", False),
        ],
    )
    def test_what_an_earlier_launcher_had_not_packed(
        self, submitter, runs, scheduler, state, pack, launch, waits
    ):
        """It is submitted with the others, at once; else the scheduler is asked."""
        (run,) = runs(3, pack=pack, launch=f"#!/bin/sh\n{launch}\n")
        submitter.queue.clear()
        run.recorded["batch_state"] = state
        submitter.take_up(run)
        assert list(submitter.queue) == [run] * waits

    def test_the_next_launcher_knows_when_packs_were_submitted(
        self, submitter, runs, scheduler, tmp_path, monkeypatch
    ):
        """Also if this one is killed while sbatch goes on."""
        runs(1, 2, 3, pack=2)
        asyncio.run(submitter.submit())
        answering(scheduler, monkeypatch, KeyboardInterrupt())
        before = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(submitter.submit())
        places = (tmp_path / "batch", tmp_path / "channel"), tmp_path / "spool"
        other = Submitter(*places, Fictitious(), scheduler, NAMES, arrays=True)
        times = other.gathering.submitted
        assert before <= times.first == times.last <= time.monotonic()

    def test_a_pack_that_is_over_is_in_the_queue_for_a_moment(
        self, submitter, runs, scheduler, monkeypatch
    ):
        """Where so many jobs are taken, the next one would be refused."""
        made = runs(1, 2, 3, pack=2)
        self.submitted(submitter, scheduler)
        (other,) = runs(4, pack=2)
        for _ in range(2):  # its first run ends, then the second one
            submitter.leave(made.pop(0))
            submitter.count([*made, other])
            assert submitter._jobs == 2
        monkeypatch.setattr(submitting, "LEAVING_S", -1.0)
        submitter.count([*made, other])
        assert submitter._jobs == 1

    def test_packs_without_arrays(self, submitter, runs, scheduler):
        """One submission each; other policies and other options are other packs."""
        submitter._takes_arrays = False
        runs(1, 2, 3, 4, 5, pack=3)
        assert not submitter.is_open, "others may come"
        runs(6, 7, pack=1)
        runs(8, launch="#F alone\ntrue\n", pack=3)
        assert self.submitted(submitter, scheduler) == [[]] * 5
        jobs = [submission.arguments[9:] for submission in scheduler.submissions]
        assert jobs == [["1"], ["1"], [], [], ["1"]]

    def test_packs_that_are_not_taken(self, submitter, runs, scheduler, monkeypatch, tmp_path):
        """Nothing of them is left: their runs wait, or have failed."""
        made = runs(*range(1, 9), pack=2)
        asyncio.run(submitter.submit())
        with monkeypatch.context() as patch:
            answering(scheduler, patch, QueueFull("too many"))
            assert asyncio.run(submitter.submit()) == {}
            assert list(submitter.queue) == made and not list(packs.all_of(tmp_path))
            answering(scheduler, patch, JobRefused("no"))
            outcomes = asyncio.run(submitter.submit())
            assert outcomes == dict.fromkeys(made[:4], End(reason="no", final=True))
        assert not list(packs.all_of(tmp_path))
        answering(scheduler, monkeypatch, SchedulerSilent("gave no answer"))
        outcomes = asyncio.run(submitter.submit())
        (name, other) = [pack.name for pack in packs.all_of(tmp_path)]
        assert outcomes[made[4]] == {"batch_name": name} and len({name, other}) == 2
        assert packs.find(tmp_path, "a.8.1-0123456789abcdef0123").name == other
