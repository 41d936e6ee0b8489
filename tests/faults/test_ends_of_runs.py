"""The truth about every end of a run: what is recorded, who is told, and that nothing is left.

Real processes, real signals, a real ZEO server, and a disk that is full.
"""

import os
import re
import signal
import subprocess
from dataclasses import dataclass

import pytest
from launching import (
    GATE,
    all_slots_free,
    deadline,
    exit_record,
    living_of,
    nothing_lives,
    number_in,
    place,
    process_in,
    scripted,
    sessions,
    taken_slots,
    wrapper_of,
)
from support import kill9, wait_until

from motoko.identity import Identity, session_members
from motoko.workers.wrapper import KILLED

LOST = "database connection lost"
NO_FINISH = "launch.sh ended with exit code 0, but the run never called finish()"
FINISHED = ""  # instead of a reason


@pytest.fixture(autouse=True)
def limit():
    with deadline(90):
        yield


@pytest.fixture
def supervised(workflow):
    """``supervised(options...)`` -> (flow, session): a study of scripts, and its launcher."""
    stack = []

    def make(*options, yaml=""):
        flow = scripted(workflow(created=False), yaml)
        flow.supervise(*options)
        context = sessions(flow)
        session = context.__enter__()
        stack.append(context)
        return flow, session()

    yield make
    for context in stack:
        context.__exit__(None, None, None)


@dataclass
class Row:
    """A run, and what is to become of it: FINISHED, or FAILED with a reason (a pattern)."""

    script: str
    code: int | None = 0
    reason: str = FINISHED
    do_it: str | None = None
    state: str = ""

    @property
    def final(self):
        return self.state or ("FAILED" if self.reason else "FINISHED")


def check(flow, session, rows, runs=None, **params):
    """Have rows executed, or look at those that are, and see that all of it is as they say."""
    if runs is None:
        runs = [session.create(row.script, row.do_it, **params) for row in rows]
    errors = session.ends(*runs)
    for row, run, error in zip(rows, runs, errors, strict=True):
        # Who is FINISHED, or FAILED by its own word, is so before launch.sh ends.
        session.until(run, ended_state="FAILED" if row.reason else "FINISHED")
        seen = dict(run.entries.items())
        assert (seen["state"], seen.get("exit_code")) == (row.final, row.code), (row, seen)
        if row.reason:
            assert re.fullmatch(row.reason, seen["failure_reason"]), (row, seen["failure_reason"])
            assert error is not None and error.reason == seen["failure_reason"], (row, error)
        else:
            assert error is None and not seen.get("failure_reason"), (row, seen, error)
        nothing_lives(place(flow, run), run.attempt)
    all_slots_free(flow)
    assert flow.daemons()["launcher:mult"]["state"] == "ready"
    return runs


def stop(flow, *names):
    done = flow.motoko("stop", *names)
    assert done.returncode == 0, done.stderr


def start(flow, *names):
    done = flow.motoko("start", *names)
    assert done.returncode == 0, done.stderr


def go(flow, run):
    (place(flow, run) / "go").touch()


def kill_launcher(flow):
    """kill -9 of the launcher; returns once another is ready."""
    before = flow.pids()["launcher:mult"]
    kill9(before)

    def replaced():
        daemon = flow.daemons()["launcher:mult"]
        return daemon["pid"] not in (None, before) and daemon["state"] == "ready"

    wait_until(replaced, "the launcher is replaced")


def ended_with(code, said=".*"):
    return f"launch.sh ended with exit code {code}{said}"


class TestByItself:
    def test_exit_codes_and_shells(self, supervised):
        """Exit codes, those of the wrapper's own included, exec, set -e, pipes, signals."""
        rows = [
            *(Row(f"exit {code}", code, ended_with(code)) for code in (1, 2, 99, 119)),
            *(Row(f"exit {code}", code, ended_with(code)) for code in range(120, 125)),
            Row("exec false", 1, ended_with(1)),
            Row("set -e\nfalse\necho no > wrong", 1, ended_with(1)),
            Row("exec sh -c 'echo last words >&2; exit 8'", 8, ended_with(8, ": last words")),
            Row("false | true", 0, re.escape(NO_FINISH)),
            Row("set -o pipefail\nfalse | cat", 1, ended_with(1)),
            Row("kill -TERM $$; sleep 1", 143, "launch.sh was ended by SIGTERM"),
            Row("kill -SEGV $$; sleep 1", 139, "launch.sh was ended by SIGSEGV.*"),
            Row("exec sh -c 'kill -9 $$'", 137, "launch.sh was ended by SIGKILL"),
            Row("rm launch.sh\nexit 5", 5, ended_with(5)),
        ]
        flow, session = supervised("--slots", "4")
        for run in check(flow, session, rows):
            assert not (place(flow, run) / "wrong").exists()

    def test_what_doIt_does(self, supervised):
        """Killed by a signal; FAILED, FINISHED or a state of its own by its own word."""
        killed = "run.start(); os.kill(os.getpid(), {})"
        python, python_4 = "python doIt.py\n", "python doIt.py\nexit 4"
        own = "become(state='MINE')"
        rows = [
            *(
                Row(python, 128 + n, f"launch.sh was ended by {n.name}.*", killed.format(int(n)))
                for n in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV)
            ),
            Row(python, 1, ended_with(1, ": ValueError: 3"), "run.start(); raise ValueError(3)"),
            Row(python, 0, "diverged", "become(state='FAILED', failure_reason='diverged')"),
            Row(python_4, 4, "the run set its state to FAILED.*", "run.fail('FAILED')"),
            Row(python, 0, "the run set its state to FAILURE.*", "run.fail()", "FAILURE"),
            Row(python_4, 4),
            Row(python, 0, FINISHED, own, "MINE"),
            Row(python_4, 4, FINISHED, f"run.finish(); {own}", "MINE"),
        ]
        flow, session = supervised("--slots", "4")
        # It may say more after its own word was heard.
        undecided = session.create(python_4 + " # not FINISHED", own)
        runs = [session.create(row.script, row.do_it) for row in rows]
        for row, run in zip(rows, runs, strict=True):
            session.until(run, timeout=40, exit_code=row.code)
        check(flow, session, rows, runs)
        # Nobody has said that it was FINISHED, and nobody that it has failed.
        session.until(undecided, state="MINE", exit_code=4)
        assert undecided.entries.get("ended_state") is None

    def test_a_failure_of_its_own_is_retried(self, supervised):
        """An attempt that says it has failed, and ends a little later, is not the last one."""
        flow, session = supervised()
        again = "first = not Path('again').exists(); Path('again').touch()\n"
        run = session.create(
            "python doIt.py; sleep 0.2", f"{again}run.fail() if first else run.finish()", retries=1
        )
        session.until(run, attempt=2, state="FINISHED", ended_state="FINISHED")
        assert "set its state to FAILURE" in run.last_failure
        nothing_lives(place(flow, run), 2)

    def test_launch_sh_is_missing(self, supervised):
        """In a directory that is started by the launcher that comes after the one that wrote it."""
        flow, session = supervised("--no-launchers")
        runs = [session.create("exit 0"), session.create("exit 00"), session.create("exit 000")]
        for number, run in enumerate(runs):
            if number < 2:
                place(flow, run).mkdir(parents=True)
            path = {"run_path": str(place(flow, run))} if number else {}
            run.entries.update({"state": "launched", "attempt": 1, **path})
        import transaction

        transaction.commit()
        flow.supervise("--slots", "2")
        missing = ended_with(127, ".*launch.sh.*")
        no_path, no_file, no_directory = session.ends(*runs)
        assert no_path is not None and "run_path" in no_path.reason
        assert no_file is not None and re.fullmatch(missing, no_file.reason)
        assert no_directory is not None and no_directory.reason == "the run directory is gone"
        assert flow.daemons()["launcher:mult"]["restarts"] == 0
        all_slots_free(flow)

    def test_its_directory_is_deleted(self, supervised):
        """While it runs: it is told so, and a run that is FINISHED by its own word is."""
        flow, session = supervised("--slots", "4")
        scripts = ["exit 3", "exit 0"]
        until = 'until [ ! -d "$OLD" ]; do sleep 0.05; done\n'
        runs = [session.create(f"OLD=$PWD\n{until}{script}") for script in scripts]
        done = "run.start(); run.finish(); Path('said').touch()"
        runs.append(session.create(f"OLD=$PWD\npython doIt.py\n{until}exit 1", done))
        for run in runs[:2]:
            wrapper_of(place(flow, run))
        wait_until(lambda: (place(flow, runs[2]) / "said").exists(), "it is FINISHED")
        wrappers = [wrapper_of(place(flow, run)).pid for run in runs]
        for run in runs:
            subprocess.run(["rm", "-r", place(flow, run)], check=True)
        failed, silent, finished = session.ends(*runs)
        assert failed.reason == "launch.sh ended with exit code 3, and the run directory is gone"
        assert silent.reason == NO_FINISH and finished is None
        for run, code in zip(runs, (3, 0, 1), strict=True):
            session.until(run, exit_code=code)
        wait_until(lambda: not session_members(*wrappers), "nothing of them lives")
        all_slots_free(flow)


class TestLeftBehind:
    def test_background_processes_are_ended(self, supervised):
        """What launch.sh leaves in the background: also what does not obey, or has a group."""
        quiet = "trap '' TERM HUP; echo $BASHPID > left; while :; do sleep 0.1; done"
        rows = [
            Row(f"({quiet}) &\npython doIt.py"),
            Row(f"set -m\n({quiet}) &\nset +m\nexit 6", 6, ended_with(6)),
            Row("nohup sleep 1000 > /dev/null & echo $! > left\nexit 7", 7, ended_with(7)),
        ]
        flow, session = supervised("--slots", "3")
        for run in check(flow, session, rows):
            assert Identity.of(number_in(place(flow, run) / "left")) is None

    def test_who_has_left_the_session_goes_on_and_keeps_the_slot(self, supervised):
        """``setsid``: it is not the run's any more; but a slot in use is never given away."""
        flow, session = supervised("--slots", "2")
        run = session.create("setsid sh -c 'echo $$ > left; exec sleep 1000' &\npython doIt.py")
        left = process_in(place(flow, run) / "left")
        try:
            assert session.ends(run) == [None]
            session.until(run, ended_state="FINISHED")
            nothing_lives(place(flow, run))
            assert left.alive and len(taken_slots(flow)) == 1
            assert session.ends(session.create("python doIt.py; :")) == [None]
        finally:
            assert left.signal(signal.SIGKILL)
        all_slots_free(flow)


class TestKilled:
    def test_shell_child_and_grandchild(self, supervised):
        """launch.sh's shell: its end. A grandchild: launch.sh goes on, and decides itself."""
        child = "sleep 1000 & echo $! > pid\nwait $!\necho child: $? >&2\n"
        rows = [
            Row("echo $$ > pid\nsleep 1001\n", 137, "launch.sh was ended by SIGKILL"),
            Row(f"{child}exit 4", 4, ended_with(4, ": child: 137")),
            Row(f"{child}python doIt.py"),
        ]
        flow, session = supervised("--slots", "3")
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            assert process_in(place(flow, run) / "pid").signal(signal.SIGKILL)
        check(flow, session, rows, runs)

    def test_wrapper(self, supervised):
        """The run lives on and keeps its slots; what it commits counts, else it has FAILED."""
        rows = [
            Row(f"{GATE}python doIt.py", None),
            Row(f"{GATE}exit 0", None, re.escape(KILLED)),
            Row(f"{GATE}python doIt.py\nexit 5", None, re.escape(KILLED), "run.start()"),
        ]
        flow, session = supervised("--slots", "3")
        runs = [session.create(row.script, row.do_it) for row in rows]
        wrappers = [wrapper_of(place(flow, run)) for run in runs]
        for wrapper in wrappers:
            assert wrapper.signal(signal.SIGKILL)
        next_one = session.create("python doIt.py # 2")
        wait_until(lambda: not any(w.alive for w in wrappers), "the wrappers are dead")
        # A launcher that has noticed it has been through its loop.
        wait_until(lambda: flow.daemons()["launcher:mult"]["counts"]["queued"] == 1, "one waits")
        assert taken_slots(flow) == [0, 1, 2]
        session.refresh()
        assert [run.state for run in (*runs, next_one)] == ["launched"] * 3 + ["CREATED"]
        for run in runs:
            go(flow, run)
        check(flow, session, [*rows, Row("")], [*runs, next_one])

    def test_launcher_and_wrapper(self, supervised):
        """The launcher alone, the wrapper while there is none, and both at once."""
        rows = [
            Row(f"{GATE}python doIt.py"),
            Row(f"{GATE}exit 3", 3, ended_with(3)),
            Row(f"{GATE}python doIt.py # 1", None),
            Row(f"{GATE}exit 3 # 1", None, re.escape(KILLED)),
            Row(f"{GATE}python doIt.py # 2", None),
            Row(f"{GATE}exit 3 # 2", None, re.escape(KILLED)),
            Row("echo $$ > pid\nsleep 1000 # 3", None, re.escape(KILLED)),
        ]
        flow, session = supervised("--slots", "8")
        runs = [session.create(row.script, row.do_it) for row in rows]
        wrappers = [wrapper_of(place(flow, run)) for run in runs]
        killed = process_in(place(flow, runs[-1]) / "pid")
        kill_launcher(flow)
        stop(flow, "launcher:mult")
        for wrapper in (*wrappers[2:4], wrappers[-1]):
            assert wrapper.signal(signal.SIGKILL)
        # With nobody there to see it, all of one run dies.
        for member, _ in session_members(wrappers[-1].pid):
            member.signal(signal.SIGKILL)
        wait_until(lambda: not killed.alive, "all of it is dead")
        start(flow, "launcher:mult")
        launcher = Identity.of(flow.pids()["launcher:mult"])
        assert launcher is not None and launcher.signal(signal.SIGSTOP)
        for wrapper in wrappers[4:6]:
            assert wrapper.signal(signal.SIGKILL)
        launcher.signal(signal.SIGKILL)
        wait_until(lambda: launcher.pid != flow.pids().get("launcher:mult"), "it is replaced")
        wait_until(lambda: flow.daemons()["launcher:mult"]["state"] == "ready", "it is ready")
        assert len(taken_slots(flow)) == 6
        for run in runs[:-1]:
            go(flow, run)
        check(flow, session, rows, runs)

    def test_host_was_rebooted(self, supervised):
        """A claim of another boot; and one whose wrapper's number is somebody else's by now."""
        flow, session = supervised("--slots", "2")
        runs = [session.create(f"{GATE}exit {n}") for n in range(2)]
        wrappers = [wrapper_of(place(flow, run)) for run in runs]
        stop(flow, "launcher:mult")
        for member, _ in session_members(*(wrapper.pid for wrapper in wrappers)):
            member.signal(signal.SIGKILL)
        claims = [place(flow, run) / "attempt-1" for run in runs]
        boot, stat = claims[0].read_text().splitlines()
        claims[0].write_text(f"{boot[::-1]}\n{stat}\n")
        fields = claims[1].read_text().splitlines()[1].split()
        claims[1].write_text(f"{boot}\n{' '.join([str(os.getpid()), *fields[1:]])}\n")
        start(flow, "launcher:mult")
        rebooted, reused = session.ends(*runs)
        assert rebooted.reason == "host rebooted" and reused.reason == KILLED
        all_slots_free(flow)


def blocked(pid):
    """Whether a process's main thread sleeps and does nothing for 0.3 s: ``wait_until`` asks."""
    seen = []

    def still():
        text = (f"/proc/{pid}/task/{pid}/stat", f"/proc/{pid}/task/{pid}/status")
        stat, status = (open(name).read() for name in text)
        fields = stat.rpartition(")")[2].split()
        switches = re.findall(r"ctxt_switches:\t(\d+)", status)
        seen.append((fields[0], *fields[11:13], *switches))
        return len(seen) > 15 and len(set(seen[-15:])) == 1 and fields[0] == "S"

    return still


class TestDatabase:
    def test_its_server_is_killed_in_the_middle_of_finish(self, supervised):
        """Truthfully told, and tried again if that is allowed."""
        code = (
            "run.start()\n"
            "first = not Path('finishing').exists()\n"
            "Path('pid').write_text(f'{os.getpid()}\\n')\n"
            "while not Path('go').exists(): time.sleep(0.05)\n"
            "Path('finishing').touch()\n"
            "run.finish()"
        )
        flow, session = supervised("--slots", "2")
        runs = [session.create(f"python doIt.py # {n}", code, retries=n) for n in (0, 1)]
        pids = [number_in(place(flow, run) / "pid") for run in runs]
        server = Identity.of(flow.pids()["zeo:mult"])
        assert server is not None and server.signal(signal.SIGSTOP)
        for run, pid in zip(runs, pids, strict=True):
            go(flow, run)
            wait_until(lambda run=run: (place(flow, run) / "finishing").exists(), "it finishes")
            wait_until(blocked(pid), "finish() waits for the server")
        server.signal(signal.SIGKILL)
        lost, again = session.ends(*runs)
        assert lost is not None and lost.reason == LOST and runs[0].exit_code == 1
        assert again is None and (runs[1].attempt, runs[1].last_failure) == (2, LOST)
        for run in runs:
            session.until(run, ended_state="FAILED" if run is runs[0] else "FINISHED")
            nothing_lives(place(flow, run), run.attempt)
        all_slots_free(flow)

    def test_there_is_no_server_when_it_ends(self, supervised):
        """The record is late, and not lost: with the same launcher, and with another one."""
        flow, session = supervised("--slots", "4", yaml="finish: on-exit\n")
        rows = [Row(f"{GATE}true"), Row(f"{GATE}exit 2", 2, ended_with(2))]
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            wrapper_of(place(flow, run))
        stop(flow, "zeo:mult")
        for run in runs:
            go(flow, run)
            wait_until(lambda run=run: exit_record(place(flow, run)), "it has ended")
            nothing_lives(place(flow, run))
        start(flow, "zeo:mult")
        check(flow, session, rows, runs)

        rows = [Row(f"{GATE}true # 2"), Row(f"{GATE}exit 2 # 2", 2, ended_with(2))]
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            wrapper_of(place(flow, run))
        stop(flow, "zeo:mult")
        kill9(flow.pids()["launcher:mult"])
        for run in runs:
            go(flow, run)
            wait_until(lambda run=run: exit_record(place(flow, run)), "it has ended")
        start(flow, "zeo:mult")
        check(flow, session, rows, runs)

    def test_its_server_is_frozen_when_it_ends(self, supervised):
        """kill -STOP for a while: nobody is woken twice, nothing is lost."""
        flow, session = supervised("--slots", "2", yaml="finish: on-exit\n")
        rows = [Row(f"{GATE}true"), Row(f"{GATE}exit 2", 2, ended_with(2))]
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            wrapper_of(place(flow, run))
        server = Identity.of(flow.pids()["zeo:mult"])
        assert server is not None and server.signal(signal.SIGSTOP)
        try:
            for run in runs:
                go(flow, run)
                wait_until(lambda run=run: exit_record(place(flow, run)), "it has ended")
                nothing_lives(place(flow, run))
        finally:
            server.signal(signal.SIGCONT)
        check(flow, session, rows, runs)


@pytest.fixture
def disk():
    """``disk(directory, size)``: a small file system of its own; ``disk.fill()``."""
    made = []

    def make(directory, size="1m"):
        directory.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a file system of its own needs root: {done.stderr.strip()}")
        made.append(directory)

    yield make
    for directory in made:
        subprocess.run(["umount", "-l", directory], check=True)


def fill(directory):
    """Leave no byte; returns the file that takes them."""
    path = directory / "full"
    with open(path, "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while file.write(bytes(4096)):
            pass
    return path


FILL = "head -c 10M /dev/zero > full\n"


class TestDisk:
    @pytest.fixture
    def small(self, disk, supervised):
        """A supervised study whose run directories are on a disk of their own."""

        def make(*options):
            flow, session = supervised(*options)
            disk(flow.directory / "mult" / "BD-mult-runs")
            return flow, session

        return make

    def test_it_is_full_when_a_run_ends(self, small):
        """What it ended with is recorded, also by a launcher that was not there."""
        flow, session = small("--slots", "4")
        rows = [
            Row(f"{GATE}{FILL}exit 3", 3, ended_with(3)),
            Row(f"{GATE}{FILL}exit 0", 0, re.escape(NO_FINISH)),
            Row(f"{GATE}python doIt.py\n{FILL}"[:-1], 1),
        ]
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            wrapper_of(place(flow, run))
        stop(flow, "launcher:mult")
        go(flow, runs[0])
        wait_until(lambda: not living_of(place(flow, runs[0])), "it has ended")
        for run in runs[1:]:
            (place(flow, runs[0]) / "full").unlink()
            go(flow, run)
            wait_until(lambda run=run: not living_of(place(flow, run)), "it has ended")
            if run is not runs[-1]:
                (place(flow, run) / "full").rename(place(flow, runs[0]) / "full")
        start(flow, "launcher:mult")
        check(flow, session, rows, runs)

    def test_it_is_full_when_a_run_starts(self, small):
        """It has FAILED for that reason, and the launcher goes on when there is space again."""
        flow, session = small("--slots", "2")
        path = fill(flow.directory / "mult" / "BD-mult-runs")
        run = session.create("exit 0")
        (error,) = session.ends(run)
        assert error is not None and "No space left on device" in error.reason
        path.unlink()
        check(flow, session, [Row("python doIt.py # 2")])

    @pytest.mark.parametrize("why", ["full", "read-only"])
    def test_it_cannot_be_written_when_a_prepared_run_starts(self, small, why):
        """Nobody can claim the attempt: FAILED for that reason, not started, not tried for ever."""
        flow, session = small("--no-launchers")
        runs = flow.directory / "mult" / "BD-mult-runs"
        run = session.create("exit 0")
        place(flow, run).mkdir()
        (place(flow, run) / "launch.sh").write_text("#!/bin/sh\ntouch /dev/null\n")
        run.entries.update({"state": "launched", "attempt": 1, "run_path": str(place(flow, run))})
        import transaction

        transaction.commit()
        if why == "full":
            fill(runs)
        else:
            subprocess.run(["mount", "-o", "remount,ro", runs], check=True)
        flow.supervise("--slots", "2")
        (error,) = session.ends(run, timeout=10)
        assert error is not None and "could not be claimed" in error.reason
        all_slots_free(flow)
        kill_launcher(flow)
        session.refresh()
        assert run.failure_reason == error.reason
