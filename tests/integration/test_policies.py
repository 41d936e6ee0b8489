"""Policies: how often, how long, how wide and with which environment runs are executed."""

import time
from pathlib import Path

import pytest
import transaction
from launching import (
    GATE,
    all_slots_free,
    deadline,
    kill_daemon,
    nothing_lives,
    place,
    taken_slots,
)
from support import wait_until, write_workflow

from motoko import ParameterError
from motoko.runs.entries import DocumentedEntries
from motoko.runs.paths import exit_path
from motoko.runs.run_programs import programs

FAIL = 'echo "$$" >> tries\nexit 7\n'


@pytest.fixture(autouse=True)
def limit():
    with deadline(60):
        yield


def lines(path):
    return len(path.read_text().splitlines())


class TestRetries:
    def test_a_run_wins_over_its_study_which_wins_over_all(self, supervised):
        """Attempts = retries + 1, each executed once, and only the last failure is told."""
        flow, session = supervised(
            "--slots=4",
            yaml="retries: 1\n",
            below={"two": "    retries: 2\n"},
            studies=("one", "two"),
        )
        expected = [("one", {}, 2), ("two", {}, 3), ("two", {"retries": 0}, 1)]
        expected.append(("one", {"retries": 2}, 3))
        # Runs of one job that differ in their policies only would be one run.
        scripts = [f"{FAIL}# {number}" for number in range(len(expected))]
        runs = [
            session.create(script, study=study, **given)
            for script, (study, given, _) in zip(scripts, expected, strict=True)
        ]
        errors = session.ends(*runs)
        for run, error, (study, given, attempts) in zip(runs, errors, expected, strict=True):
            directory = place(flow, run, study)
            assert error is not None and "exit code 7" in error.reason
            seen = (run.attempt, lines(directory / "tries"), run.entries.get("retries"))
            assert seen == (attempts, attempts, given.get("retries"))
            assert {p.name for p in directory.glob(".motoko/attempt-*")} == {
                f"attempt-{n}" for n in range(1, attempts + 1)
            }
            assert run.exit_code == 7 and run.ended_state == run.state == "FAILED"

    def test_pauses_double(self, supervised):
        """The second attempt comes after a second, the third after two more; then it FINISHED."""
        flow, session = supervised(yaml="retries: 2\n")
        script = 'date +%s.%N >> at\n[ "$(wc -l < at)" -ge 3 ] || exit 1\npython doIt.py\n'
        run = session.create(script)
        assert session.ends(run) == [None]
        first, second, third = map(float, (place(flow, run) / "at").read_text().split())
        assert 1.0 <= second - first < 2.0 <= third - second, (first, second, third)
        assert run.attempt == 3 and "exit code 1" in run.last_failure
        assert DocumentedEntries(run.entries).get("failure_reason") is None


# It says when it was told to end, and what of it is left.
POLITE = "trap 'date +%s.%N > told; exit 9' TERM\nsleep 60 &\nwait\n"
# So does its child, and neither obeys.
STUBBORN = """\
trap 'date +%s.%N >> told' TERM
bash -c 'trap "" TERM; echo $$ > child; while :; do sleep 0.1; done' &
while :; do sleep 0.1; done
"""
SECOND_TIME = "[ ! -e again ] || exec python doIt.py\ntouch again\nexec sleep 60\n"
LINGERING = "python doIt.py\nsleep 60\n"


class TestTimeout:
    def test_ends_what_takes_too_long(self, supervised):
        """SIGTERM first, SIGKILL 3 s later; the study's limit, or the run's."""
        flow, session = supervised("--slots=8", below={"mult": "    timeout: 5s\n"})
        polite = session.create(POLITE)
        stubborn = session.create(STUBBORN)
        again = session.create(SECOND_TIME, retries=1)
        short = session.create("echo $$ > began\nsleep 60 # its own limit", timeout=0.5)
        long = session.create("sleep 5.5\npython doIt.py\n", timeout="1h30m")
        quick = session.create("python doIt.py\n", timeout=30)
        lingering = session.create(LINGERING, timeout="10s")
        runs = [polite, stubborn, again, short, long, quick, lingering]
        errors = dict(zip(runs, session.ends(*runs), strict=True))
        assert [run.id for run in runs if errors[run]] == [polite.id, stubborn.id, short.id]

        for run, text in ((polite, "5 s"), (stubborn, "5 s"), (short, "0.5 s")):
            assert errors[run].reason == f"it took longer than its time limit of {text}"
            assert run.failure_reason == errors[run].reason and run.attempt == 1
        # It could clean up, and that was not interrupted.
        assert polite.exit_code == 9 and (place(flow, polite) / "told").exists()
        # It was killed, with all that it had started, 3 s after it was told.
        told = float((place(flow, stubborn) / "told").read_text().splitlines()[0])
        ended = exit_path(place(flow, stubborn), 1).stat().st_mtime
        assert stubborn.exit_code == 137 and 2.5 < ended - told < 5.0
        assert again.attempt == 2 and "time limit of 5 s" in again.last_failure
        # FINISHED in time: so it stays, although what came after took too long.
        session.until(lingering, state="FINISHED", ended_state="FINISHED", exit_code=143)
        for run in (quick, long, lingering):
            assert run.attempt == 1 and DocumentedEntries(run.entries).get("failure_reason") is None
        for run in runs:
            nothing_lives(place(flow, run), run.attempt)
        all_slots_free(flow)

    def test_counts_from_the_start_of_the_run_not_of_its_launcher(self, supervised):
        """A launcher that was killed and replaced keeps the limit of what it adopts."""
        flow, session = supervised()
        run = session.create("date +%s.%N > .began; mv .began began\n" + POLITE, timeout=5)
        directory = place(flow, run)
        began = wait_until(lambda: float((directory / "began").read_text()), "it has begun")
        wait_until(lambda: time.time() > began + 2, "it has run for 2 s")
        kill_daemon(flow, "launcher:mult")
        assert not (directory / "told").exists()
        (error,) = session.ends(run)
        assert error is not None and "time limit of 5 s" in error.reason and run.attempt == 1
        took = float((directory / "told").read_text()) - began
        assert 4.9 < took < 6.9, took


def test_finish_later(supervised):
    """launch.sh ends well, and others say how the run ends; a launcher is replaced meanwhile."""
    flow, session = supervised(yaml="slots: 1\nfinish: later\n")
    failed = session.create("exit 3")
    late = session.create("exit 0 # late", timeout=12.0)
    runs = [session.create(f"exit 0 # {n}") for n in range(4)]
    for run in (late, *runs):
        wait_until(lambda run=run: exit_path(place(flow, run), 1).exists(), "launch.sh has ended")
    all_slots_free(flow)
    kill_daemon(flow, "launcher:mult")
    session.refresh()
    for run, state in zip(runs, ("FINISHED", "FAILED", "PHASE2"), strict=False):
        run.entries["state"] = state
    transaction.commit()
    session.until(runs[0], ended_state="FINISHED", exit_code=0)
    session.until(runs[1], ended_state="FAILED")
    said = flow.motoko("explain", f"mult.{runs[3].id}").stdout
    assert "has handed its work over" in said
    assert flow.motoko("cancel", f"mult.{runs[3].id}").returncode == 0
    session.until(runs[3], state="FAILED", ended_state="FAILED")
    session.refresh()
    assert runs[2].state == "PHASE2"
    runs[2].entries["state"] = "FINISHED"
    transaction.commit()
    session.until(runs[2], ended_state="FINISHED")
    late_error, error = session.ends(late, failed)
    assert "time limit" in late_error.reason and "exit code 3" in error.reason
    assert flow.daemons()["launcher:mult"]["restarts"] == 1


class TestNproc:
    def test_default_own_and_too_many(self, supervised):
        """A run takes as many slots as it says; one that wants too many takes all there are."""
        flow, session = supervised(yaml="slots: 3\n", below={"mult": "    nproc: 2\n"})
        wide = session.create(GATE + "python doIt.py")
        narrow = session.create(GATE + "python doIt.py", nproc=1)
        assert (wide.nproc, narrow.nproc) == (2, 1)
        wait_until(lambda: taken_slots(flow) == [0, 1, 2], "all slots are taken", timeout=5)
        session.until(narrow, state="launched")
        wider = session.create(GATE + "python doIt.py # wider", nproc=4)
        for run in (wide, narrow):
            (place(flow, run) / "go").touch()
        assert session.ends(wide, narrow) == [None, None]
        session.until(wider, state="launched")
        assert taken_slots(flow) == [0, 1, 2]
        assert "wants 4 slots, and there are 3: it takes them all" in flow.log("launcher:mult")
        (place(flow, wider) / "go").touch()
        assert session.ends(wider) == [None]
        all_slots_free(flow)

    def test_a_run_of_another_host_waits_for_nothing_here(self, supervised):
        """However wide it is: those behind it are not kept waiting."""
        flow, session = supervised(yaml="slots: 2\n")
        first = session.create(GATE + "python doIt.py")
        session.until(first, state="launched")
        elsewhere = session.create("python doIt.py", nproc=2, machine_name="elsewhere")
        assert session.ends(session.create("python doIt.py # behind"), timeout=10) == [None]
        (place(flow, first) / "go").touch()
        assert session.ends(first) == [None]
        session.refresh()
        assert elsewhere.state == "CREATED"


# What shells, YAML and header lines might make something else of.
ODD = {
    "SPACES": "  a  b  ",
    "QUOTES": 'it\'s "quoted" `id` \\ \\n',
    "DOLLAR": "$$HOME $${PATH} $$(touch pwned) !x",
    "SEVERAL_LINES": "one\ntwo\n\nthree\n",
    "OTHER": "ü€ ; & | > < * ? ~ #",
    "PLACE": "__BLACKDYNAMITE__run_id__",
    "EMPTY": "",
}


STUDYS = "{WHO: study, STUDY: 'a b', BLACKDYNAMITE_RUN_ID: 99, PATH: '~/study:$PATH'}"


class TestEnvironment:
    def test_adds_up_and_is_quoted(self, supervised):
        """All, study, run: the later wins; the run sees each text as it was written."""
        flow, session = supervised(
            yaml="environment: {ALL: 1, WHO: all, FLAG: yes, AT: 12:30, PATH: '/all:$PATH'}\n",
            below={"mult": f"    environment: {STUDYS}\n"},
        )
        script = "env -0 > env\n" + "python doIt.py\n"
        given = {**ODD, "WHO": "run", "BLACKDYNAMITE_HOST": "zeo:///nowhere", "N": 7}
        given |= {"NAMED": "${LATER}:~", "LATER": "$WHO/$N", "PATH": "/usr/bin:/bin"}
        one, other = session.create(script, environment=given), session.create(script + "# 2")
        unset = session.create("python doIt.py # 3", environment={"A": "$SURELY_UNSET/x"})
        *fine, error = session.ends(one, other, unset)
        assert fine == [None, None]
        assert "SURELY_UNSET: is not set, but environment: A names it" in str(error)
        mine, theirs = (
            dict(e.split("=", 1) for e in (place(flow, run) / "env").read_text().split("\0") if e)
            for run in (one, other)
        )
        common = {"ALL": "1", "FLAG": "yes", "AT": "12:30", "STUDY": "a b"}
        odd = {**ODD, "DOLLAR": "$HOME ${PATH} $(touch pwned) !x"}
        named = {"NAMED": f"run/7:{Path.home()}", "LATER": "run/7"}
        assert {**common, **odd, **named, "WHO": "run", "N": "7"}.items() <= mine.items()
        # Whatever becomes of PATH, the study's own python is on it.
        guard, own = programs()
        assert mine["PATH"] == f"{guard}:{own}:/usr/bin:/bin"
        assert theirs["PATH"].removeprefix(f"{guard}:").startswith(f"{Path.home()}/study:/all:")
        assert own in theirs["PATH"].split(":")
        assert {**common, "WHO": "study"}.items() <= theirs.items()
        assert not ODD.keys() & theirs.keys()
        assert mine["BLACKDYNAMITE_HOST"] == theirs["BLACKDYNAMITE_HOST"]
        assert [each["BLACKDYNAMITE_RUN_ID"] for each in (mine, theirs)] == ["1", "2"]
        assert not (place(flow, one) / "pwned").exists()


WRONG = {
    "retries: many": "retries",
    "retries: -1": "retries",
    "retries: 1.5": "retries",
    "timeout: soon": "timeout",
    "timeout: 0": "timeout",
    "timeout: -5s": "timeout",
    "nproc: 0": "nproc",
    "nproc: true": "nproc",
    "environment: [A=1]": "environment",
    "environment: {A-B: 1}": "A-B",
    "environment: {A: [1]}": "environment",
    "finish: never": "finish",
}


class TestWrongValues:
    @pytest.mark.parametrize("line", WRONG)
    @pytest.mark.parametrize("where", ["all", "study"])
    def test_in_motoko_yaml(self, tmp_path, line, where):
        """Exit code 2, file and key are named, and nothing is there that was not before."""
        flow = write_workflow(tmp_path / "wf")
        text = flow.path.read_text()
        below = f"  mult:\n    {line}\n" if where == "study" else "  mult:\n"
        flow.path.write_text(text.replace("  mult:\n", below) + (line if where == "all" else ""))
        before = sorted(flow.directory.rglob("*"))
        done = flow.motoko("supervise", "--detach")
        assert done.returncode == 2, done.stdout + done.stderr
        at = "task_managers.mult." if where == "study" else ""
        assert f"{flow.path}: {at}{line.partition(':')[0]}" in done.stderr
        assert WRONG[line] in done.stderr and "Traceback" not in done.stderr
        assert sorted(flow.directory.rglob("*")) == before

    def test_in_create_task(self, supervised):
        """ParameterError names the study and the parameter, before any run or job is made."""
        flow, session = supervised()
        wrong = {
            "retries": [-1, "2", 1.5, True],
            "timeout": [0, -1, "soon", float("inf"), float("nan"), [1]],
            "nproc": [0, 1.5, "2", True],
            "environment": ["A=1", {"A B": 1}, {"A": None}, {"A": {"B": 1}}, {"A": "\0"}],
            "finish": ["never", 1, True],
        }
        for name, values in wrong.items():
            for value in values:
                with pytest.raises(ParameterError, match=rf"mult.*{name}"):
                    session.create("true", **{name: value})
        base = session.workflow.mult.base
        assert len(base.runs.entries) == len(base.jobs.entries) == 0
        assert not Path(flow.directory, "mult", "BD-mult-runs").exists()
        assert session.ends(session.create("python doIt.py")) == [None]
