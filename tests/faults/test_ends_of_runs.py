"""The truth about every end of a run: what is recorded, who is told, and that nothing is left.

Real processes and real signals. Databases and disks: test_ends_by_others.py.
"""

import os
import re
import signal
import subprocess

import pytest
import transaction
from launching import (
    FINISHED,
    GATE,
    NO_FINISH,
    Row,
    all_slots_free,
    check,
    daemon,
    deadline,
    ended_with,
    exit_record,
    go,
    identity,
    kill_daemon,
    nothing_lives,
    number_in,
    place,
    process_in,
    start,
    stop,
    taken_slots,
    wrapper_of,
)
from support import wait_until

from motoko.host.identity import Identity
from motoko.runs.claims import KILLED
from motoko.runs.entries import DocumentedEntries
from motoko.runs.sessions import survivors


@pytest.fixture(autouse=True)
def limit():
    with deadline(120):
        yield


class TestByItself:
    def test_exit_codes_and_shells(self, supervised):
        """Exit codes, those of the wrapper's own included, exec, set -e, pipes, signals."""
        rows = [
            *(Row(f"exit {code}", code, ended_with(code)) for code in (1, 2, 119, 121, 122, 123)),
            Row("exec false", 1, ended_with(1)),
            Row("set -e\nfalse\necho no > wrong", 1, ended_with(1)),
            Row("exec sh -c 'echo last words >&2; exit 8'", 8, ended_with(8, ": last words")),
            Row("false | true", 0, NO_FINISH),
            Row("set -o pipefail\nfalse | cat", 1, ended_with(1)),
            Row("kill -TERM $$; sleep 1", 143, "launch.sh was ended by SIGTERM.*"),
            Row("kill 0; sleep 1", 143, "launch.sh was ended by SIGTERM.*"),  # with its group
            Row("kill -SEGV $$; sleep 1", 139, "launch.sh was ended by SIGSEGV.*"),
            Row("exec sh -c 'kill -9 $$'", 137, "launch.sh was ended by SIGKILL.*"),
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
            Row(f"{python_4} # mine", 4, ended_with(4), own),
            Row(python, 137, "launch.sh was ended by SIGKILL.*", f"{own}; os.kill(os.getpid(), 9)"),
            Row(python, 0, "it has set its state to 3, which is no text", "become(state=3)"),
        ]
        flow, session = supervised("--slots", "4")
        runs = [session.create(row.script, row.do_it) for row in rows]
        for row, run in zip(rows, runs, strict=True):
            session.until(run, timeout=40, exit_code=row.code)
        check(flow, session, rows, runs)

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

        transaction.commit()
        flow.supervise("--slots", "2")
        missing = ended_with(127, ".*launch.sh.*")
        no_path, no_file, no_directory = session.ends(*runs)
        assert no_path is not None and "run_path" in no_path.reason
        assert no_file is not None and re.fullmatch(missing, no_file.reason)
        assert no_directory is not None and no_directory.reason == "the run directory is gone"
        assert daemon(flow, "launcher:mult")["restarts"] == 0
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
        wrappers = [wrapper_of(place(flow, run)) for run in runs]
        for run in runs:
            subprocess.run(["rm", "-r", place(flow, run)], check=True)
        failed, silent, finished = session.ends(*runs)
        assert failed.reason == "the run directory is gone"
        assert "never called finish()" in silent.reason and finished is None
        for run, code in zip(runs, (3, 0, 1), strict=True):
            session.until(run, exit_code=code)
        wait_until(lambda: not survivors(*wrappers), "nothing of them lives")
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


class TestKilled:
    def test_shell_child_and_grandchild(self, supervised):
        """launch.sh's shell: its end. A grandchild: launch.sh goes on, and decides itself."""
        child = "sleep 1000 & echo $! > pid\nwait $!\necho child: $? >&2\n"
        rows = [
            Row("echo $$ > pid\nsleep 1001\n", 137, "launch.sh was ended by SIGKILL.*"),
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
            assert wrapper.process.signal(signal.SIGKILL)
        next_one = session.create("python doIt.py # 2")
        wait_until(lambda: not any(w.alive for w in wrappers), "the wrappers are dead")
        # A launcher that has noticed it has been through its loop.

        def waits():
            counts = daemon(flow, "launcher:mult")["counts"]
            assert counts["queued"] == 1, (
                counts,
                [dict(DocumentedEntries(r.entries)) for r in runs],
            )
            return True

        wait_until(waits, "one waits")
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
        kill_daemon(flow, "launcher:mult")
        stop(flow, "launcher:mult")
        for wrapper in (*wrappers[2:4], wrappers[-1]):
            assert wrapper.process.signal(signal.SIGKILL)
        # With nobody there to see it, all of one run dies.
        for member in survivors(wrappers[-1]):
            member.signal(signal.SIGKILL)
        wait_until(lambda: not killed.alive, "all of it is dead")
        start(flow, "launcher:mult")
        launcher = identity(flow, "launcher:mult")
        assert launcher.signal(signal.SIGSTOP)
        for wrapper in wrappers[4:6]:
            assert wrapper.process.signal(signal.SIGKILL)
        launcher.signal(signal.SIGKILL)
        wait_until(lambda: identity(flow, "launcher:mult") != launcher, "it is replaced")
        assert len(taken_slots(flow)) == 6
        for run in runs[:-1]:
            go(flow, run)
        check(flow, session, rows, runs)

    def test_launcher_between_the_own_word_of_a_run_and_its_end(self, supervised):
        """Who is FINISHED or FAILED by its own word is looked after all the same until it ends."""
        said = f"python doIt.py\ntouch said\n{GATE}"
        failed = "become(state='FAILED', failure_reason='no')"
        rows = [
            Row(f"{said}sleep 1000 &\nexit 3", 3),
            Row(f"{said}exit 3 # 2", 3, "no", failed),
            Row(f"{said}exit 0", 0, FINISHED, "become(state='MINE')", "MINE"),
        ]
        flow, session = supervised("--slots", "4")
        runs = [session.create(row.script, row.do_it) for row in rows]
        again = "first = not Path('again').exists(); Path('again').touch()\n"
        own = f"{again}become(state='FAILED') if first else run.finish()"
        runs.append(session.create(f"{said}true", own, retries=1))
        for run in runs:
            wait_until(lambda run=run: (place(flow, run) / "said").exists(), "it has spoken")
        kill_daemon(flow, "launcher:mult")
        for run in runs[2:]:
            go(flow, run)
        session.until(runs[2], ended_state="FINISHED", exit_code=0)
        # The launcher looks after those that still run, and the next one after what has ended.
        stop(flow, "launcher:mult")
        for run in runs[:2]:
            go(flow, run)
            wait_until(lambda run=run: exit_record(place(flow, run)), "it has ended")
        start(flow, "launcher:mult")
        session.until(runs[-1], state="FINISHED", ended_state="FINISHED", attempt=2)
        check(flow, session, [*rows, Row("")], runs)

    def test_host_was_rebooted(self, supervised):
        """A claim of another boot; and one whose wrapper's number is somebody else's by now."""
        flow, session = supervised("--slots", "2")
        runs = [session.create(f"{GATE}exit {n}") for n in range(2)]
        wrappers = [wrapper_of(place(flow, run)) for run in runs]
        stop(flow, "launcher:mult")
        for member in survivors(*wrappers):
            member.signal(signal.SIGKILL)
        claims = [place(flow, run) / ".motoko" / "attempt-1" for run in runs]
        boot, *rest = claims[0].read_text().splitlines()
        claims[0].write_text("\n".join([boot[::-1], *rest, ""]))
        fields = claims[1].read_text().splitlines()[1].split()
        claims[1].write_text(f"{boot}\n{' '.join([str(os.getpid()), *fields[1:]])}\n")
        start(flow, "launcher:mult")
        session.until(runs[0], attempt=2, interruptions=1, last_failure="host rebooted")
        go(flow, runs[0])
        executed_again, reused = session.ends(*runs)
        assert executed_again is None or "exit code 0" in executed_again.reason
        assert reused.reason == KILLED
        all_slots_free(flow)
