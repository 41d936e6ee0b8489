"""Who has started an attempt, how it has ended, and which processes are an attempt's."""

import errno
import json
import os
import resource
import socket
import time
from pathlib import Path

import pytest

from motoko.config import StudyConfig
from motoko.config.policy import Policy
from motoko.host.identity import Identity
from motoko.host.living_processes import Process
from motoko.host.proc_files import boot_id
from motoko.host.process_limits import stamp
from motoko.runs import claims, sessions
from motoko.runs.claims import Claim, UnreadableRecord, Where, parse_claim, read_claim, read_exit
from motoko.runs.job_script import read
from motoko.runs.marks import Mark, parse, text_of
from motoko.runs.processes import running
from motoko.runs.sessions import belonging, members_of, without_strangers
from motoko.runs.wrappers import TURNS, Wrapper
from motoko.workers.launcher.recovery import examine

HERE, BOOT = socket.gethostname(), boot_id()
RLIMIT_LOCKS = 10  # which Python does not name
STAT = "{} (sh) S " + "0 " * 18 + "{} 0 0"


def claim_of(pid, ticks, boot=BOOT, host=HERE):
    lines = [boot, STAT.format(pid, ticks), *([host] if host else [])]
    return "\n".join(lines) + "\n"


class TestClaim:
    @pytest.mark.parametrize(
        ("boot", "host", "where"),
        [
            (BOOT, HERE, Where.HERE),
            (BOOT, None, Where.HERE),
            ("other", HERE, Where.REBOOTED),
            ("other", None, Where.REBOOTED),  # of earlier versions: as far as anybody knows
            ("other", "login2", Where.ELSEWHERE),
            (BOOT, "login2", Where.ELSEWHERE),  # a container
        ],
    )
    def test_where(self, boot, host, where):
        claim = parse_claim(claim_of(4242424, 1, boot, host))
        assert claim.where is where and claim.is_here == (where is Where.HERE)
        assert claim.wrapper == Wrapper(Identity(4242424, 1, boot, host or HERE))

    def test_a_host_with_another_name(self):
        me = Identity.mine()
        claim = parse_claim(claim_of(me.pid, me.start_ticks, host="old-name"))
        assert claim == Claim(Wrapper(me))

    @pytest.mark.parametrize("text", ["", "x\n", f"{BOOT}\n", "batch 3 n1\nn1\n", '{"code": 1}\nx'])
    def test_of_nobody_who_lives(self, text):
        claim = parse_claim(text)
        assert claim.is_here and claim.wrapper.pid == 0 and members_of(claim.wrapper) == []


class TestStrangers:
    """A session's number that was given to somebody else."""

    def process(self, pid, ticks):
        return Identity(pid, ticks, BOOT, HERE)

    def test_ours(self):
        me, child = self.process(10, 100), self.process(11, 101)
        wrapper = Wrapper(me)
        owned = [(me, wrapper), (child, wrapper)]
        assert without_strangers([wrapper], [(me, 10), (child, 10)]) == owned
        assert without_strangers([wrapper], [(child, 10)]) == owned[1:]

    def test_the_number_belongs_to_another_process_now(self):
        wrapper, other = Wrapper(self.process(10, 100)), self.process(10, 500)
        others = [(other, 10), (self.process(11, 501), 10)]
        assert without_strangers([wrapper], others) == []
        # Two attempts, of which the first has gone: what lives is the second's.
        found = without_strangers([wrapper, Wrapper(other)], others)
        assert [w.process for _, w in found] == [other, other]

    def test_older_than_the_wrapper(self):
        wrapper = Wrapper(self.process(10, 100))
        assert without_strangers([wrapper], [(self.process(11, 99), 10)]) == []

    def test_others_sessions(self):
        wrapper = Wrapper(self.process(10, 100))
        assert without_strangers([wrapper], [(self.process(11, 101), 12)]) == []

    def test_a_wrapper_with_several_turns_is_alone_in_its_session(self):
        wrapper = Wrapper(self.process(10, 100), turn=1)
        assert without_strangers([wrapper], [(self.process(10, 100), 10)]) == []


class TestTurns:
    """Each of a wrapper's turns has a name of its own."""

    @pytest.mark.parametrize("turn", [0, 1, TURNS])
    def test_number_and_mark(self, turn):
        wrapper = Wrapper(Identity((1 << 22) - 1, 1 << 35, BOOT, HERE), turn)
        assert Wrapper.of_number(wrapper.number) == wrapper and wrapper.number < 1 << 63
        assert parse(f"{text_of(wrapper)} /a b/attempt-1") == Mark(wrapper, "/a b/attempt-1")

    def test_claim(self):
        me = Identity.mine()
        text = f"{claim_of(me.pid, me.start_ticks, host=HERE)}\n"  # no pid namespace
        assert parse_claim(f"{text}7\n").wrapper == Wrapper(me, 7)
        assert parse_claim(f"{text}7\n").wrapper.session is None
        assert parse_claim(f"{text}7\n123\n").wrapper.session == 123

    def test_it_lives_until_its_turn_ends(self):
        me = Identity.mine()
        wrapper = Wrapper(me, 7)
        assert Wrapper(me).alive and not wrapper.alive
        before = resource.getrlimit(RLIMIT_LOCKS)
        try:
            stamp(me.pid, wrapper.number)
            assert wrapper.alive and not Wrapper(me, 6).alive
        finally:
            resource.setrlimit(RLIMIT_LOCKS, before)
        wrapper.kill()  # which would end this test


class TestBelonging:
    """Processes that left an attempt's session are recognised by their mark or ancestors."""

    WRAPPER = Wrapper(Identity(10, 100, BOOT, HERE))

    def owned(self, table, marks=None):
        marks = marks or {}
        found = belonging([self.WRAPPER], table, lambda each: marks.get(each.identity.pid))
        return {process.pid for process, wrapper in found if wrapper == self.WRAPPER}

    def process(self, pid, ticks, parent=1, session=1):
        return Process(Identity(pid, ticks, BOOT, HERE), parent, session)

    def test_marked(self):
        table = [self.process(pid, 200) for pid in (20, 21, 22)]
        other = Wrapper(Identity(10, 99, BOOT, HERE))  # had the same number before
        marks = {20: self.WRAPPER, 21: other}
        assert self.owned(table, marks) == {20}

    def test_older_than_the_wrapper_is_not_even_looked_at(self):
        assert self.owned([self.process(20, 99)], {20: self.WRAPPER}) == set()

    def test_descendants(self):
        """Of any generation, whatever they have done to session and environment."""
        table = [
            *(self.process(13, 203, parent=12), self.process(12, 202, parent=11, session=12)),
            *(self.process(11, 201, parent=10, session=10), self.process(10, 100, session=10)),
            *(self.process(14, 204, parent=9), self.process(9, 50)),
        ]
        assert self.owned(table) == {10, 11, 12, 13}

    def test_nobody_s_child_where_the_wrapper_s_number_is_another_s(self):
        table = [self.process(10, 300, session=10), self.process(11, 301, parent=10, session=10)]
        assert self.owned(table) == set()

    @pytest.mark.parametrize("text", ["", "x", f"{BOOT} 1 2", f"{BOOT} a 2 /", "b 1 -2 /", " 1 2 "])
    def test_no_mark(self, text):
        assert parse(text) is None

    def test_mark(self):
        assert parse(f"{BOOT} 10 100 /a b/attempt-1") == Mark(self.WRAPPER, "/a b/attempt-1")


@pytest.fixture(params=["", ".motoko"], ids=["earlier", "now"])
def own(request, tmp_path):
    """Where Motoko's files are: as an earlier version had them, and as they are now."""
    folder = tmp_path / request.param
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def attempt(tmp_path, own):
    """The entries of a run that was started by nobody who still lives."""
    (own / "attempt-1").write_text(claim_of(4242424, 1))
    return {"id": 1, "state": "START", "run_path": str(tmp_path), "motoko.attempt": 1}


def study_policy(entries):
    return Policy()


class TestRecovery:
    def test_lost(self, attempt):
        situation = examine(attempt, study_policy)
        assert situation.end.reason == claims.KILLED and not situation.again

    @pytest.mark.parametrize("state", ["launched", "START", "MINE"])
    def test_elsewhere_it_is_left_alone_until_its_end_is_recorded(self, attempt, own, state):
        attempt["state"] = state
        (own / "attempt-1").write_text(claim_of(os.getpid(), 1, "other", "login2"))
        situation = examine(attempt, study_policy)
        assert "login2" in situation.again and situation.end is None and situation.process is None
        (own / "exit-1.json").write_text(json.dumps({"attempt": 1, "code": 3}))
        situation = examine(attempt, study_policy)
        assert (situation.again, situation.end.code, situation.wrapper) == ("", 3, None)

    @pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
    @pytest.mark.parametrize("name", ["attempt-1", "exit-1.json", "exit.json"])
    def test_what_cannot_be_read_is_looked_at_again(self, attempt, monkeypatch, number, name):
        real = Path.read_bytes

        def failing(path):
            if path.name == name:
                raise OSError(number, os.strerror(number))
            return real(path)

        monkeypatch.setattr(Path, "read_bytes", failing)
        directory = Path(attempt["run_path"])
        with pytest.raises(UnreadableRecord, match=name):
            read_claim(directory, 1) if name == "attempt-1" else read_exit(directory, 1)
        situation = examine(attempt, study_policy)
        assert name in situation.again and situation.end is None and situation.process is None
        assert name in read(directory, 1).unreadable
        monkeypatch.undo()
        assert examine(attempt, study_policy).end.reason == claims.KILLED
        assert not read(directory, 1).unreadable

    @pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
    def test_where_its_files_are_cannot_be_seen(self, attempt, monkeypatch, number):
        """A file system that gives no answer says nothing of whether a run was started."""
        real = os.stat

        def failing(path, **options):
            if str(path).endswith("/.motoko"):
                raise OSError(number, os.strerror(number))
            return real(path, **options)

        monkeypatch.setattr(os, "stat", failing)
        directory = Path(attempt["run_path"])
        for reader in (read_claim, read_exit):
            with pytest.raises(UnreadableRecord, match=os.strerror(number)):
                reader(directory, 1)
        situation = examine(attempt, study_policy)
        assert situation.again and situation.end is None and situation.process is None
        assert read(directory, 1).unreadable

    @pytest.mark.parametrize("wrong", [-3600.0, 0.0, 3600.0])
    def test_how_long_ago_it_was_begun(self, attempt, own, monkeypatch, wrong):
        """By the clock of the file system, whatever this host's says."""
        directory = Path(attempt["run_path"])
        now = time.time()
        os.utime(own / "attempt-1", (now, now - 100))
        monkeypatch.setattr(time, "time", lambda: now + wrong)
        assert claims.begun_for(directory, 1) == pytest.approx(100, abs=60)
        assert claims.begun_for(directory, 2) is None
        assert [path.name for path in own.iterdir()] == ["attempt-1"]


class TestRunning:
    def test_proc_is_scanned_once_for_many(self, tmp_path, monkeypatch):
        scans = []

        def scan(since):
            scans.append(since)
            return [Process(Identity(1001, 5, BOOT, HERE), 1, 1001)]

        monkeypatch.setattr(sessions, "processes", scan)
        study = StudyConfig.__new__(StudyConfig)
        object.__setattr__(study, "name", "s")
        object.__setattr__(study, "bd_name", "s")
        object.__setattr__(study, "directory", tmp_path)
        runs = {}
        for number in range(5):
            directory = tmp_path / "BD-s-runs" / f"run-{number}"
            directory.mkdir(parents=True)
            (directory / "attempt-1").write_text(claim_of(1000 + number, 5))
            runs[number] = {"id": number, "state": "START", "machine_name": "localhost"}
        runs[5] = {"id": 5, "state": "START", "machine_name": "elsewhere"}
        runs[6] = {"id": 6, "state": "START", "motoko.attempt": 1, "motoko.batch_name": "job"}
        (tmp_path / "BD-s-runs" / "run-4" / "attempt-1").write_text(claim_of(9, 5, "o", "login2"))
        assert running(study, runs) == {1, 4, 5, 6} and scans == [5]
