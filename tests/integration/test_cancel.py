"""``motoko cancel``: of waiting runs and of running ones, with and without a launcher."""

import asyncio
import getpass
import os
import signal
import time

import pytest
from runs import (
    all_are,
    ended,
    make_runs,
    release,
    runs_of,
    started,
    states,
    study_base,
    with_waiting_runs,
)
from support import Flow, kill9, processes_in, run_script, wait_until

from motoko import RunFailed, Workflow
from motoko.operations import cancelling
from motoko.operations.cancelling import Cancellation

REASON = f"cancelled by {getpass.getuser()}"
CANCELLED = {"state": "FAILED", "ended_state": "FAILED", "failure_reason": REASON}
NOT_STARTED = "cancelled; it was not started"
ENDED = "cancelled; its processes were ended"
# It starts others, one of which listens to nobody, and leaves its process group.
STUBBORN = """\
echo $BLACKDYNAMITE_RUN_ID >> ../../started
python - <<'END' &
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.setpgid(0, 0)
open("deaf", "w").close()
while True: time.sleep(1)
END
trap '' TERM
until [ -e ../../go ]; do sleep 0.05; done
"""


@pytest.fixture
def flow(workflow) -> Flow:
    return workflow()


def is_cancelled(entries):
    assert entries.items() >= CANCELLED.items() and "cancelled_by" not in entries, entries
    return True


def set_state(flow, number, state):
    """In another process: this one has one transaction for all bases."""
    code = (
        "import sys, transaction\n"
        "from motoko.control.study_access import opened\n"
        "from motoko.config import load\n"
        "config = load('.')\n"
        "with opened(config, config.studies['mult']) as base:\n"
        "    base.runs.entries[int(sys.argv[1])].entries['state'] = sys.argv[2]\n"
        "    transaction.commit()\n"
    )
    done = run_script(code, str(number), state, cwd=flow.directory)
    assert done.returncode == 0, done.stderr


def work_of(flow, study="mult"):
    """What lives in the study's run directories."""
    return list(processes_in(flow.directory / study / f"BD-{study}-runs"))


class TestWaiting:
    @pytest.mark.parametrize("supervised", [False, True])
    def test_is_never_started(self, flow, supervised):
        if supervised:
            flow.supervise("--no-launchers")
        retrying = ended(flow, 2, "CREATED", attempt=1, exit_code=3)
        retrying |= {"attempt": 2, "retry_at": time.time() + 1000, "last_failure": "why"}
        make_runs(flow, {}, retrying, {"state": "TOBELAUNCHED"}, {})
        done = flow.motoko("cancel", "mult.1", "mult.2", "mult.3", "mult.1")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [f"mult.{n}: {NOT_STARTED}" for n in (1, 2, 3)]
        runs = runs_of(flow)
        assert all(is_cancelled(runs[n]) for n in (1, 2, 3))
        assert runs[4]["state"] == "CREATED" and "retry_at" not in runs[2]
        flow.supervise()
        wait_until(lambda: states(flow)[4] == "FINISHED", "the other one is executed")
        assert {state for n, state in states(flow).items() if n != 4} == {"FAILED"}
        # They may be executed later on.
        done = flow.motoko("retry", "mult.1", "mult.2", "mult.3")
        assert done.stdout.splitlines() == [
            "mult.1: CREATED again, attempt 1",
            "mult.2: CREATED again, attempt 2",
            "mult.3: CREATED again, attempt 1",
        ]
        all_are(flow, "FINISHED")

    def test_beside_the_launcher_that_prepares_it(self, flow):
        """A run is started completely or not at all, at whatever moment it is cancelled."""
        flow.supervise()
        launch = "echo $BLACKDYNAMITE_RUN_ID >> ../../started\nexec sleep 60\n"
        (flow.directory / "mult" / "launch.sh").write_text(launch)
        make_runs(flow, *({} for _ in range(12)))
        for number in range(1, 13):
            done = flow.motoko("cancel", f"mult.{number}")
            assert done.returncode == 0, done.stdout + done.stderr
            said = done.stdout.partition(": ")[2].strip()
            assert said in (NOT_STARTED, ENDED)
            assert (number in started(flow)) == (said == ENDED)
        assert all(is_cancelled(entries) for entries in runs_of(flow).values())
        assert not work_of(flow)

    def test_conflict(self, flow, monkeypatch):
        """Somebody commits while the command does: it looks again."""
        flow.supervise("--no-launchers")
        make_runs(flow, {})
        seen = []

        def meanwhile(base, entries):
            if not seen:
                set_state(flow, 1, "START")
            seen.append(entries["state"])
            return stage(base, entries)

        stage = cancelling.stage
        with study_base(flow) as base:
            monkeypatch.setattr(cancelling, "stage", meanwhile)
            cancellation = Cancellation(base, [1], "me")
            cancellation.look()
        assert seen == ["CREATED", "START"] and cancellation.left == {1}
        assert runs_of(flow)[1].items() >= {"state": "START", "cancelled_by": "me"}.items()

    def test_by_constraints(self, workflow):
        flow = workflow(studies=("add", "mult"))
        for study in flow.studies:
            make_runs(flow, {}, {"state": "FINISHED"}, {}, study=study)
        done = flow.motoko("cancel", "--constraints", "x < 3")
        assert done.returncode == 0
        assert sorted(done.stdout.splitlines()) == [
            f"add.1: {NOT_STARTED}",
            "add: 1 run has ended",
            f"mult.1: {NOT_STARTED}",
            "mult: 1 run has ended",
        ]
        done = flow.motoko("cancel", "-bd", "add", "--constraints", "x > 1")
        assert done.stdout == f"add: 1 run has ended\nadd.3: {NOT_STARTED}\n"
        assert states(flow) == {1: "FAILED", 2: "FINISHED", 3: "CREATED"}
        done = flow.motoko("cancel", "--bd_study", "add")
        assert done.stdout == "add: 3 runs have ended\nno runs to cancel\n"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["mult.2", "mult.1"], "run mult.1 has ended: it is FINISHED"),
            (["mult.2", "mult.7"], "study mult has no run 7"),
            (["mult.2", "norm.1"], "there is no study 'norm'"),
            (["mult"], "'mult' names no run"),
            (["--constraints", "x >"], "a value is missing"),
            (["mult.2", "--constraints", "nosuch = 3"], "no run has 'nosuch'"),
            ([], "name runs (STUDY.ID), or give --constraints"),
        ],
    )
    def test_wrong(self, flow, arguments, said):
        make_runs(flow, {"state": "FINISHED"}, {})
        done = flow.motoko("cancel", *arguments)
        assert done.returncode == 2 and said in done.stderr, done.stdout + done.stderr
        assert states(flow) == {1: "FINISHED", 2: "CREATED"}


class TestRunning:
    def test_by_its_launcher(self, flow):
        with_waiting_runs(flow)
        (flow.directory / "motoko.yaml").write_text(flow.path.read_text() + "retries: 3\n")
        flow.supervise("--slots", "2")
        make_runs(flow, {}, {}, {})
        wait_until(lambda: sorted(started(flow)) == [1, 2], "two are started")
        done = flow.motoko("cancel", "mult.1", "mult.3")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"mult.1: {ENDED}", f"mult.3: {NOT_STARTED}"]
        runs = runs_of(flow)
        assert is_cancelled(runs[1]) and is_cancelled(runs[3]) and runs[1]["exit_code"] == 143
        again = flow.motoko("cancel", "mult.2", "mult.1")
        assert again.returncode == 2 and "mult.1 has ended: it is FAILED" in again.stderr
        release(flow)
        wait_until(lambda: states(flow)[2] == "FINISHED", "the other one goes on")
        done = flow.motoko("retry", "--constraints", "state = FAILED")
        assert "mult.1: CREATED again, attempt 2" in done.stdout
        all_are(flow, "FINISHED")
        assert sorted(started(flow)) == [1, 1, 2, 3]

    @pytest.mark.parametrize("launcher", [True, False])
    def test_its_whole_tree(self, flow, launcher):
        """Processes that ignore SIGTERM or left the process group end, too, without any daemon."""
        (flow.directory / "mult" / "launch.sh").write_text(STUBBORN)
        flow.supervise()
        make_runs(flow, {})
        deaf = flow.directory / "mult" / "BD-mult-runs" / "run-1" / "deaf"
        wait_until(deaf.exists, "it is deaf")
        if not launcher:
            pids = flow.pids()
            kill9(flow.ps()["supervisor"]["pid"])
            for pid in pids.values():
                kill9(pid)
            wait_until(lambda: not flow.pids(), "nobody is left")
        done = flow.motoko("cancel", "mult.1")
        assert (done.returncode, done.stdout) == (0, f"mult.1: {ENDED}\n"), done.stderr
        wait_until(lambda: not work_of(flow), "all processes have gone", timeout=3.0)
        assert is_cancelled(runs_of(flow)[1])
        if launcher:
            # What is cleaned is executed once more.
            deaf.unlink()
            assert flow.motoko("clean", "--yes").stdout == "mult: reset 1 run\n"
            wait_until(deaf.exists, "it runs again")
            assert flow.motoko("cancel", "-bd", "mult").returncode == 0
        else:
            flow.supervise()  # who comes later finds nothing to do
        assert is_cancelled(runs_of(flow)[1])
        assert len(started(flow)) == 1 + launcher

    def test_orphaned_daemons(self, flow):
        """The supervisor is dead, its launcher is not."""
        with_waiting_runs(flow)
        flow.supervise()
        make_runs(flow, {})
        wait_until(lambda: started(flow) == [1], "it is started")
        kill9(flow.ps()["supervisor"]["pid"])
        done = flow.motoko("cancel", "mult.1")
        assert (done.returncode, done.stdout) == (0, f"mult.1: {ENDED}\n"), done.stderr
        assert is_cancelled(runs_of(flow)[1])
        assert "cancelled by" in flow.log("launcher:mult")

    def test_launcher_that_comes_back(self, flow):
        """The launcher was killed or frozen: the run's end is recorded exactly once."""
        (flow.directory / "motoko.yaml").write_text(flow.path.read_text() + "retries: 3\n")
        with_waiting_runs(flow)
        flow.supervise()
        make_runs(flow, {}, {})
        wait_until(lambda: sorted(started(flow)) == [1, 2], "they are started")
        kill9(flow.pids()["launcher:mult"])
        done = flow.motoko("cancel", "mult.1")
        assert done.returncode == 0, done.stderr
        assert is_cancelled(runs_of(flow)[1])
        release(flow)
        wait_until(lambda: states(flow)[2] == "FINISHED", "the other one is adopted")
        assert states(flow)[1] == "FAILED" and sorted(started(flow)) == [1, 2]

    def test_while_others_change(self, flow):
        """The word that a run is cancelled does not get lost among other changes."""
        (flow.directory / "mult" / "launch.sh").write_text(
            "echo $BLACKDYNAMITE_RUN_ID >> ../../started\n"
            "[ $BLACKDYNAMITE_RUN_ID = 1 ] && exec sleep 60\npython doIt.py\n"
        )
        flow.supervise("--slots", "2")
        make_runs(flow, {}, *({} for _ in range(20)))
        wait_until(lambda: 2 in started(flow), "they are started")
        done = flow.motoko("cancel", "mult.1")
        assert done.returncode == 0, done.stderr
        assert is_cancelled(runs_of(flow)[1])
        assert flow.motoko("cancel", "-bd", "mult").returncode == 0

    def test_does_not_end(self, flow, monkeypatch):
        """A run on another machine cannot be ended: a message, and exit code 1."""
        from motoko.config import load
        from motoko.operations import cancelled_runs
        from motoko.operations.choosing import Choice

        monkeypatch.setattr(cancelled_runs, "PATIENCE_S", 0.5)
        make_runs(flow, {"state": "START", "machine_name": "elsewhere"}, {})
        cancelled = cancelled_runs.cancel_runs(load(flow.path), Choice({"mult": [1, 2]}))
        assert not cancelled.all_ended
        runs = runs_of(flow)
        assert runs[1]["state"] == "START" and runs[1]["cancelled_by"] == getpass.getuser()
        assert is_cancelled(runs[2])

    def test_prepared_and_never_started(self, flow):
        """`cancel` claims a prepared run itself, so that no launcher starts it."""
        entries = ended(flow, 1, "launched")
        claim = flow.directory / "mult" / "BD-mult-runs" / "run-1" / ".motoko" / "attempt-1"
        claim.unlink()
        make_runs(flow, entries, ended(flow, 2, "START"))
        done = flow.motoko("cancel", "-bd", "mult")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"mult.1: {NOT_STARTED}", f"mult.2: {ENDED}"]
        assert all(is_cancelled(entries) for entries in runs_of(flow).values())
        assert claim.exists()

    def test_in_a_state_of_its_own(self, flow):
        (flow.directory / "mult" / "doIt.py").write_text(
            "import BlackDynamite as BD\n"
            "run, job = BD.getRunFromScript()\n"
            "run['state'] = 'HALFWAY'\n"
            "import transaction, time\n"
            "transaction.commit()\n"
            "while True: time.sleep(1)\n"
        )
        flow.supervise()
        make_runs(flow, {}, {"state": "FORWARDED", "ended_state": "FINISHED"})
        wait_until(lambda: states(flow)[1] == "HALFWAY", "it is on its way")
        assert flow.motoko("cancel", "mult.2").returncode == 2
        done = flow.motoko("cancel", "mult.1")
        assert (done.returncode, done.stdout) == (0, f"mult.1: {ENDED}\n"), done.stderr
        assert is_cancelled(runs_of(flow)[1]) and not work_of(flow)


class TestAwaits:
    def test_raises(self, flow):
        """Awaiting a cancelled run raises with the reason, before and after its start."""
        with_waiting_runs(flow)
        flow.supervise("--slots", "1")
        wf = Workflow(flow.path)
        wf.run_name = "r"
        try:
            running, waiting = (wf.mult.createTask(x=x) for x in (1.0, 2.0))
            wait_until(lambda: started(flow) == [1], "one is started")

            async def main():
                async def wait(runs):
                    await runs

                tasks = [asyncio.ensure_future(wait(runs)) for runs in (running, waiting)]
                cancel = await asyncio.to_thread(flow.motoko, "cancel", "mult.1", "mult.2")
                assert cancel.returncode == 0, cancel.stderr
                return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

            errors = asyncio.run(main())
        finally:
            wf.close()
        assert all(isinstance(error, RunFailed) and error.reason == REASON for error in errors)
        assert started(flow) == [1]


def test_interrupted(flow):
    """Ctrl-C leaves what was asked for: the launcher ends the run all the same."""
    (flow.directory / "mult" / "launch.sh").write_text(STUBBORN)
    flow.supervise()
    make_runs(flow, {})
    wait_until(lambda: started(flow) == [1], "it is started")
    process = flow.begin("cancel", "mult.1")
    wait_until(lambda: "cancelled_by" in runs_of(flow)[1], "it is told")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(10) == 130
    wait_until(lambda: states(flow)[1] == "FAILED", "it is ended")
    assert flow.motoko("retry", "mult.1").returncode == 0
    wait_until(lambda: started(flow) == [1, 1], "it is executed again")
    assert "cancelled_by" not in runs_of(flow)[1]
    assert flow.motoko("cancel", "mult.1").returncode == 0
