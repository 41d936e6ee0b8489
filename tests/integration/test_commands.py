"""`clean`, `retry`, `kill`, `info`, `launcher` and `orchestrator`, on real workflows."""

import contextlib
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest
import transaction
from runs import (
    all_are,
    ended,
    make_runs,
    release,
    run_directory,
    runs_of,
    started,
    states,
    study_base,
    with_waiting_runs,
)
from support import Flow, kill9, motoko_command, wait_until

from motoko import control
from motoko.bd import maintenance
from motoko.bd.maintenance import CLEANING, clean, retry, selected
from motoko.config import load
from motoko.identity import Identity
from motoko.runtime import locate

STUDIES = ("add", "mult")
BROKEN = "def main(:\n"

WITH_OPTIONS = """\
def populate_arg_parser(parser):
    parser.add_argument("--inputs", type=float, nargs="+", default=[1.0], help="what is computed")


async def main(workflow, inputs, **params):
    print("run_name", params["run_name"], flush=True)
    await workflow.mult.createTask(x=inputs)
    workflow.finished = True
"""


@pytest.fixture
def flow(workflow) -> Flow:
    """A workflow of one study that nobody supervises."""
    return workflow()


def create_tasks(flow, *options):
    """Run the orchestrator of ``support``, which makes two runs in each study, and ends."""
    done = flow.motoko("orchestrator", "start", "--run_name", "test", *options)
    assert done.returncode == 0, done.stderr


class TestClean:
    def test_resets(self, flow):
        make_runs(
            flow,
            ended(flow, 1, "FINISHED", ended_state="FINISHED", exit_code=0, y=2.0),
            ended(flow, 2, "FAILED", attempt=3, failure_reason="why", ended_state="FAILED"),
            ended(flow, 3, "CREATED", attempt=2, retry_at=1.0, last_failure="why"),
            {},
        )
        with study_base(flow) as base:
            base.runs.entries[1].quantities["q"] = "somewhere.csv"
            transaction.commit()
        done = flow.motoko("clean")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "mult: reset 3 runs, 1 were never started\n"
        runs = runs_of(flow)
        fresh = runs[4].keys()
        assert {entries["state"] for entries in runs.values()} == {"CREATED"}
        assert [runs[n].keys() - fresh for n in (1, 2, 3)] == [{"y"}, set(), set()]
        assert all(runs[n]["start_time"] is None for n in runs)
        assert not list((flow.directory / "mult" / "BD-mult-runs").iterdir())
        with study_base(flow) as base:
            assert not base.runs.entries[1].quantities

    def test_chooses(self, workflow):
        flow = workflow(studies=STUDIES)
        for study in STUDIES:
            make_runs(flow, {"state": "FINISHED"}, {"state": "FAILED"}, study=study)
        done = flow.motoko("clean", "-bd", "mult", "--constraints", "state = FAILED, x > 1")
        assert done.stdout == "mult: reset 1 runs\n"
        assert states(flow, "add") == {1: "FINISHED", 2: "FAILED"}
        assert states(flow) == {1: "FINISHED", 2: "CREATED"}

    def test_delete(self, flow):
        make_runs(flow, ended(flow, 1, "FINISHED"), {"state": "FINISHED"}, {})
        done = flow.motoko("clean", "--delete", "--constraints", "runs.id != 2")
        assert done.stdout == "mult: deleted 2 runs\n"
        with study_base(flow) as base:
            assert list(base.runs.entries) == [2] and list(base.jobs.entries) == [1, 2, 3]
            assert [len(job.runs.entries) for job in base.jobs.entries.values()] == [0, 1, 0]
        assert not (flow.directory / "mult" / "BD-mult-runs" / "run-1").exists()
        make_runs(flow, {})  # its job is found again
        assert states(flow) == {2: "FINISHED", 4: "CREATED"}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--constraints", "x >"], "a value is missing"),
            (["--constraints", "nosuch = 1"], "no run has 'nosuch'"),
            (["-bd", "norm"], "there is no study 'norm'"),
        ],
    )
    def test_wrong(self, flow, arguments, said):
        make_runs(flow, {"state": "FINISHED"})
        done = flow.motoko("clean", *arguments)
        assert done.returncode == 2 and said in done.stderr and "hint: " in done.stderr
        assert states(flow) == {1: "FINISHED"}

    def test_not_created(self, workflow):
        flow = workflow(created=False)
        assert flow.motoko("clean").stdout == "mult: not created\n"
        assert flow.motoko("clean", "-bd", "mult").returncode == 2

    def test_of_a_copied_workflow(self, flow, tmp_path):
        """The original's run directories are none of its business."""
        original = tmp_path / "original"
        original.mkdir()
        (original / "result").write_text("precious")
        make_runs(flow, {"state": "FINISHED", "run_path": str(original)})
        done = flow.motoko("clean")
        assert done.returncode == 0 and f"left alone: {original}" in done.stderr
        assert (original / "result").exists() and states(flow) == {1: "CREATED"}

    def test_running_is_refused(self, flow):
        with_waiting_runs(flow)
        flow.supervise()
        make_runs(flow, {}, {})
        wait_until(lambda: sorted(started(flow)) == [1, 2], "the runs are started")
        before = states(flow)
        done = flow.motoko("clean")
        assert done.returncode == 1 and "being executed: mult.1, mult.2" in done.stderr
        assert states(flow) == before
        release(flow)
        all_are(flow, "FINISHED")
        # Reset runs are executed anew, each once.
        (flow.directory / "mult" / "go").unlink()
        assert flow.motoko("clean").stdout == "mult: reset 2 runs\n"
        wait_until(lambda: sorted(started(flow)) == [1, 1, 2, 2], "they are started again")
        release(flow)
        all_are(flow, "FINISHED")
        runs = runs_of(flow)
        assert [runs[number]["attempt"] for number in runs] == [1, 1]
        assert [runs[number]["y"] for number in runs] == [2.0, 4.0]
        assert sorted(started(flow)) == [1, 1, 2, 2]

    def test_started_by_nobody_that_lives(self, flow):
        claimed = ended(flow, 1, "START")
        unclaimed = ended(flow, 2, "launched")
        (run_directory(flow, 2) / "attempt-1").unlink()
        make_runs(flow, claimed, unclaimed, {"state": "START", "machine_name": "elsewhere"})
        assert flow.motoko("clean").returncode == 1  # nobody can tell from here
        done = flow.motoko("clean", "--constraints", "machine_name = localhost")
        assert done.stdout == "mult: reset 2 runs\n"
        assert states(flow) == {1: "CREATED", 2: "CREATED", 3: "START"}

    def test_interrupted_halfway(self, flow, monkeypatch):
        make_runs(flow, ended(flow, 1, "FINISHED", ended_state="FINISHED"))

        def interrupted(path):
            raise KeyboardInterrupt

        monkeypatch.setattr(maintenance, "_remove", interrupted)
        with study_base(flow) as base, pytest.raises(KeyboardInterrupt):
            clean(base, selected(base, []))
        assert states(flow) == {1: CLEANING}
        assert flow.motoko("clean").stdout == "mult: reset 1 runs\n"
        assert states(flow) == {1: "CREATED"}

    def test_changed_meanwhile(self, flow):
        make_runs(flow, ended(flow, 1, "FINISHED"), {})
        with study_base(flow) as base:
            done = clean(base, {1: "FAILED", 2: "CREATED", 3: "FINISHED"})
        assert (done.done, done.untouched, done.changed) == ([], [2], [1, 3])
        assert states(flow) == {1: "FINISHED", 2: "CREATED"}

    def test_beside_a_launcher(self, flow):
        """Whatever is deleted while it is about to be started, is started completely or not."""
        flow.supervise()
        make_runs(flow, *({} for _ in range(20)))
        with study_base(flow) as base:
            deleted: set[int] = set()
            while len(base.runs.entries) and "FINISHED" not in states(flow).values():
                busy = maintenance.running(base, base.runs.entries)
                found = {n: s for n, s in selected(base, []).items() if n not in busy}
                deleted |= {*clean(base, found, delete=True).done}
        wait_until(lambda: set(states(flow).values()) <= {"FINISHED"}, "the others have ended")
        assert deleted and deleted | set(states(flow)) == set(range(1, 21))
        root = flow.directory / "mult" / "BD-mult-runs"

        def executed():
            return {int(path.parent.name[4:]) for path in root.glob("run-*/exit.json")}

        # A run says FINISHED a little before its launch.sh has ended.
        wait_until(lambda: executed() == set(states(flow)), "just these were executed")


OF_FAILURE = {"failure_reason": "why", "ended_state": "FAILED", "exit_code": 3}


class TestRetry:
    def test_failed_becomes_created(self, flow):
        make_runs(
            flow,
            ended(flow, 1, "FAILED", **OF_FAILURE),
            ended(flow, 2, "TIMEOUT", attempt=2, **OF_FAILURE),
            {"state": "FAILED", **OF_FAILURE},  # it could not even be started
        )
        done = flow.motoko("retry", "mult.1", "mult.2", "mult.3", "mult.1")
        assert done.returncode == 0 and "`motoko supervise`" in done.stderr
        assert done.stdout.splitlines() == [
            "mult.1: CREATED again, attempt 2",
            "mult.2: CREATED again, attempt 3",
            "mult.3: CREATED again, attempt 1",
        ]
        for entries in runs_of(flow).values():
            assert entries["state"] == "CREATED" and entries["last_failure"] == "why"
            assert not entries.keys() & {*OF_FAILURE, "retry_at"}
        assert (flow.directory / "mult" / "BD-mult-runs" / "run-1" / "attempt-1").exists()

    def test_chooses(self, workflow):
        flow = workflow(studies=STUDIES)
        for study in STUDIES:
            make_runs(
                flow, {"state": "FINISHED"}, {"state": "FAILED"}, {"state": "ERROR"}, study=study
            )
        done = flow.motoko("retry", "--constraints", "x < 3")
        assert done.stdout.count("CREATED again") == 2
        assert states(flow) == states(flow, "add") == {1: "FINISHED", 2: "CREATED", 3: "ERROR"}
        assert flow.motoko("retry", "-bd", "add").stdout == "add.3: CREATED again, attempt 1\n"
        assert flow.motoko("retry", "-bd", "add").stdout == "no failed runs\n"
        assert states(flow)[3] == "ERROR"

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (["mult.1"], 1, "run mult.1 is FINISHED: only failed runs are retried"),
            (["mult.7"], 1, "study mult has no run 7"),
            (["mult.2", "norm.1"], 2, "there is no study 'norm'"),
            (["mult.2", "mult.1"], 1, "run mult.1 is FINISHED"),
            (["mult"], 2, "'mult' names no run"),
            (["mult.two"], 2, "'mult.two' names no run"),
            ([], 2, "name runs (STUDY.ID), or give --constraints"),
        ],
    )
    def test_wrong(self, flow, arguments, code, said):
        make_runs(flow, {"state": "FINISHED"}, {"state": "FAILED"})
        done = flow.motoko("retry", *arguments)
        assert done.returncode == code and said in done.stderr
        assert states(flow) == {1: "FINISHED", 2: "FAILED"}  # nothing is done by halves

    def test_takes_what_was_mended(self, flow):
        works = (flow.directory / "mult" / "doIt.py").read_text()
        (flow.directory / "mult" / "doIt.py").write_text("raise SystemExit(3)\n")
        flow.supervise()
        create_tasks_failing = flow.motoko("orchestrator", "start", "-n", "test")
        assert create_tasks_failing.returncode == 1
        all_are(flow, "FAILED")
        (flow.directory / "mult" / "doIt.py").write_text(works)
        done = flow.motoko("orchestrator", "start", "-n", "test", "--retry-failed")
        assert done.returncode == 0, done.stderr
        for run in ("mult.1", "mult.2"):
            assert f"{run}: CREATED again, attempt 2\n" in done.stdout
        all_are(flow, "FINISHED")
        assert [entries["attempt"] for entries in runs_of(flow).values()] == [2, 2]
        directory = flow.directory / "mult" / "BD-mult-runs" / "run-1"
        assert (directory / "test.e1.1").exists() and (directory / "attempt-2").exists()

    def test_file_by_file(self, flow):
        make_runs(flow, {"state": "FAILED"})
        (flow.directory / "mult" / "launch.sh").write_text("echo new\n")
        with study_base(flow) as base:
            before = set(base.runs.entries[1].configfiles)
            retry(base, [1])
            run = base.runs.entries[1]
            files = {
                base.configfiles[each].filename: base.configfiles[each] for each in run.configfiles
            }
        assert (
            files["launch.sh"].file == "echo new\n" and files["launch.sh"].id == run.entries["exec"]
        )
        assert len(files) == 2 and files["doIt.py"].id in before

    def test_processes_are_not_gone(self, flow, monkeypatch):
        """It has said that it failed, and goes on all the same."""
        (flow.directory / "mult" / "doIt.py").write_text(
            "import BlackDynamite as BD\n"
            "run, job = BD.getRunFromScript()\n"
            "run.fail()\n"
            "import os, time\n"
            "while not os.path.exists('../../go'): time.sleep(0.05)\n"
        )
        flow.supervise()
        make_runs(flow, {})
        all_are(flow, "FAILURE")
        monkeypatch.setattr(maintenance, "END_S", 0.1)
        with study_base(flow) as base, pytest.raises(RuntimeError, match="processes are not gone"):
            retry(base, [1])
        release(flow)
        wait_until(lambda: runs_of(flow)[1].get("ended_state") == "FAILURE", "it has ended")
        assert flow.motoko("retry", "mult.1").returncode == 0


class TestKillStudy:
    def test_others_go_on(self, workflow):
        flow = workflow(studies=STUDIES)
        with_waiting_runs(flow)
        flow.supervise()
        make_runs(flow, {}, {})
        wait_until(lambda: sorted(started(flow)) == [1, 2], "the runs are started")
        before = flow.pids()
        done = flow.motoko("kill", "--bd_study", "mult", "--verbose")
        assert done.returncode == 0, done.stderr
        mine = {"launcher:mult", "zeo:mult"}
        for name, signal_name in (("launcher:mult", "SIGUSR1"), ("zeo:mult", "SIGTERM")):
            assert f"stopped {name} (pid {before[name]})" in done.stdout
            assert f"{name}: {signal_name} to pid {before[name]}" in done.stdout
        assert flow.pids() == {name: pid for name, pid in before.items() if name not in mine}
        daemons = flow.daemons()
        assert {daemons[name]["state"] for name in mine} == {"stopped"}
        assert flow.state() == "degraded"
        # Its runs were ended, and say so; the base is read from its file now.
        for entries in runs_of(flow).values():
            assert entries["state"] == "FAILED" and "motoko kill" in entries["failure_reason"]
        assert flow.motoko("kill", "-bd", "mult").stdout == "nothing is running\n"
        assert flow.motoko("info", "-", "runs", "info").returncode == 3
        # Another study's launcher does not bring it back, its own does.
        assert flow.motoko("launcher", "--bd_study", "add").returncode == 0
        assert flow.state() == "degraded"
        done = flow.motoko("launcher", "--bd_study", "mult")
        assert done.returncode == 0 and "starting zeo:mult" in done.stdout, done.stderr
        wait_until(lambda: flow.state() == "ready", "all is ready again")
        assert set(flow.pids()) == set(before)

    def test_supervise_starts_it_again(self, workflow):
        flow = workflow(studies=STUDIES)
        flow.supervise("--slots", "3")
        assert flow.motoko("kill", "-bd", "mult").returncode == 0
        done = flow.motoko("supervise", "--no-launchers")
        assert done.returncode == 0 and "starting zeo:mult" in done.stdout
        assert "launcher:mult" not in flow.pids() and flow.state() == "ready"
        assert flow.motoko("kill", "-bd", "mult").returncode == 0
        done = flow.motoko("supervise", "--slots", "2")
        assert done.returncode == 0 and "starting launcher:mult" in done.stdout
        assert flow.state() == "ready"
        command = Path(f"/proc/{flow.pids()['launcher:mult']}/cmdline").read_bytes().split(b"\0")
        assert command[-3:-1] == [b"--slots", b"2"]

    def test_orphans(self, workflow):
        flow = workflow(studies=STUDIES)
        flow.supervise()
        before = flow.pids()
        kill9(flow.ps()["supervisor"]["pid"])
        wait_until(lambda: flow.motoko("ps").returncode == 3, "the supervisor is dead")
        done = flow.motoko("kill", "-bd", "mult", "--verbose")
        assert done.returncode == 0, done.stderr
        assert f"SIGUSR1 to launcher:mult (pid {before['launcher:mult']})" in done.stdout
        left = {name for name in before if not name.endswith(":mult")}
        assert set(flow.pids()) == left
        done = flow.motoko("kill", "--verbose")
        assert done.stdout.count("stopped ") == len(left) and "SIGTERM to bus (pid" in done.stdout

    def test_frozen_supervisor(self, flow):
        flow.supervise()
        pid = flow.ps()["supervisor"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        done = flow.motoko("kill", "-bd", "mult")
        os.kill(pid, signal.SIGCONT)
        assert done.returncode == 1 and "does not answer" in done.stderr

    def test_requests(self, flow):
        flow.supervise()
        runtime = locate(load(flow.path))
        for names in (None, "zeo:mult", [3], ["zeo:mult", "zeo:norm"]):
            assert "error" in control.ask(runtime, "stop_daemons", names=names)
        assert "error" in control.ask(runtime, "add_launchers", studies="mult")
        assert control.ask(runtime, "stop_daemons", names=[]) == {"stopping": []}
        # Wanted again while it is being stopped.
        pid = flow.pids()["launcher:mult"]
        assert "stopping" in control.ask(runtime, "stop_daemons", names=["launcher:mult"])
        control.ask(runtime, "add_launchers")
        wait_until(
            lambda: flow.state() == "ready" and flow.pids().get("launcher:mult") != pid,
            "it has come back",
        )
        # A bus that is stopped comes back as well.
        control.ask(runtime, "stop_daemons", names=["bus"])
        wait_until(lambda: flow.daemons()["bus"]["state"] == "stopped", "the bus is stopped")
        assert flow.motoko("supervise").returncode == 0 and flow.state() == "ready"


class TestReset:
    def test_all(self, workflow):
        flow = workflow(studies=STUDIES)
        flow.supervise()
        create_tasks(flow)
        all_are(flow, "FINISHED")
        done = flow.motoko("kill", "--reset")
        assert done.returncode == 0, done.stderr
        assert "removed:\n  add: 2 jobs, 2 runs\n  mult: 2 jobs, 2 runs\n" in done.stdout
        assert "stopped zeo:add" in done.stdout
        assert not (flow.directory / ".wf").exists()
        assert {path.name for path in (flow.directory / "mult").iterdir()} == {
            *("bd.yaml", "doIt.py", "launch.sh"),
        }
        assert flow.motoko("kill", "--reset").stdout == "there was nothing to remove\n"
        assert flow.motoko("info").stdout == "add: not created\nmult: not created\n"
        assert flow.motoko("create").returncode == 0

    def test_one_study(self, workflow):
        flow = workflow(studies=STUDIES)
        flow.supervise()
        before = flow.pids()
        done = flow.motoko("kill", "--reset", "-bd", "mult")
        assert done.returncode == 0 and "removed:\n  mult: 0 jobs, 0 runs\n" in done.stdout
        assert not (flow.directory / "mult" / ".bd").exists()
        assert (flow.directory / "add" / ".bd").exists()
        assert flow.pids().items() <= before.items() and "zeo:add" in flow.pids()

    def test_damaged_database(self, flow):
        (flow.directory / "mult" / ".bd" / "bd.zeo").write_bytes(b"FS30" + b"garbage" * 100)
        (flow.directory / "mult" / ".bd" / "bd.zeo.index").unlink(missing_ok=True)
        done = flow.motoko("kill", "--reset")
        assert done.returncode == 0, done.stderr
        assert not (flow.directory / "mult" / ".bd").exists()

    @pytest.mark.parametrize(("answer", "code"), [("n", 130), ("y", 0)])
    def test_asks_on_a_terminal(self, flow, answer, code):
        make_runs(flow, {}, {})
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            motoko_command("kill", "--reset"),
            cwd=flow.directory,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        said = read_all(ours)
        assert process.wait(30) == code and "mult: 2 jobs, 2 runs" in said
        assert (flow.directory / "mult" / ".bd").exists() == (answer == "n")

    def test_an_orchestrator_that_goes_on(self, flow, monkeypatch):
        """Its vars are in .wf: nothing is removed under its feet."""
        flow.supervise()
        process = subprocess.Popen(["sleep", "60"], cwd=flow.directory)
        record = flow.directory / ".wf" / "orchestrators" / "busy.json"
        identity = Identity.of(process.pid)
        record.write_text(control.json.dumps({"run_name": "busy", **identity.to_dict()}))
        try:
            done = flow.motoko("kill", "--reset")
        finally:
            process.kill()
            process.wait()
        assert done.returncode == 1 and "busy (pid" in done.stderr
        assert (flow.directory / "mult" / ".bd").exists()


@contextlib.contextmanager
def following(flow, *arguments):
    """The output of a command that goes on until it is interrupted."""
    process = flow.begin(*arguments, start_new_session=True)
    try:
        yield process.stdout
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def read_all(descriptor):
    """What a terminal shows until nobody writes to it any more."""
    text = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(descriptor, 4096):
            text += chunk
    os.close(descriptor)
    return text.decode()


class TestLauncher:
    def test_one_study(self, workflow):
        flow = workflow(studies=STUDIES)
        done = flow.motoko("launcher", "--bd_study", "mult", "--generator", "bashCoat")
        assert done.returncode == 0 and "starting launcher:mult" in done.stdout
        assert "launcher:mult" in flow.pids() and "launcher:add" not in flow.pids()
        assert flow.motoko("launcher").returncode == 0
        assert "launcher:add" in flow.pids()
        assert flow.motoko("launcher", "--generator", "pbsCoat").returncode == 2
        with following(flow, "launcher", "-l", "-bd", "mult") as log:
            assert "mult" in log.readline()

    def test_foreground(self, workflow):
        flow = workflow(studies=STUDIES)
        options = ("--bd_study", "mult", "--do_not_detach")
        process = flow.begin("launcher", *options, start_new_session=True)
        wait_until(lambda: "ready: " in process.stdout.readline(), "its log")
        assert "launcher:mult" in flow.pids()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.communicate(timeout=30)
        wait_until(lambda: "launcher:mult" not in flow.pids(), "the launcher has gone")
        assert "zeo:mult" in flow.pids()


class TestOrchestrator:
    def test_its_own_options(self, flow):
        (flow.directory / "orchestrator.py").write_text(WITH_OPTIONS)
        for option in ("--help", "-h"):
            done = flow.motoko("orchestrator", "start", option)
            assert done.returncode == 0 and "--inputs" in done.stdout
            assert "--run_name" in done.stdout and "motoko-detached" not in done.stdout
        flow.supervise()
        done = flow.motoko(
            *("--verbose", "orchestrator", "start", "-n", "a", "--wait", "5", "--inputs", "2", "3")
        )
        assert done.returncode == 0, done.stderr
        assert [entries["y"] for entries in runs_of(flow).values()] == [4.0, 6.0]
        assert flow.motoko("orchestrator", "start", "-n", "a", "--outputs").returncode == 2
        assert flow.motoko("orchestrator", "start").returncode == 2

    def test_detached(self, flow):
        with_waiting_runs(flow)
        flow.supervise()
        (flow.directory / "orchestrator.py").write_text(WITH_OPTIONS)
        # An abbreviation detaches once, not again and again.
        done = flow.motoko("orchestrator", "start", "--det", "--run_name", "far", "--inputs", "4")
        assert done.returncode == 0, done.stderr
        pid = int(re.search(r"orchestrator far started \(pid (\d+)\)", done.stdout)[1])
        assert f"far: running, pid {pid}" in flow.motoko("orchestrator", "status").stdout
        second = flow.motoko("orchestrator", "start", "-d", "-n", "far")
        assert second.returncode == 5 and "is running already" in second.stderr
        wait_until(
            lambda: "run_name far" in flow.motoko("orchestrator", "status", "-l").stdout, "its log"
        )
        with following(flow, "orchestrator", "status", "--follow") as log:
            wait_until(lambda: "run_name far" in log.readline(), "its log")
        wait_until(lambda: started(flow) == [1], "its run is started")
        assert flow.motoko("orchestrator", "stop").stdout == f"stopped far (pid {pid})\n"
        assert Identity.of(pid) is None
        assert flow.motoko("orchestrator", "stop").stdout == "no orchestrator is running\n"
        release(flow)
        # It goes on where it was.
        done = flow.motoko("orchestrator", "start", "-n", "far", "--inputs", "4")
        assert done.returncode == 0 and started(flow) == [1]

    def test_detached_and_wrong(self, flow):
        flow.supervise()
        (flow.directory / "orchestrator.py").write_text(
            "import sys\nasync def main(workflow, **params): sys.exit(7)\n"
        )
        done = flow.motoko("orchestrator", "start", "-d", "-n", "far")
        # It may have been seen to be running before it ended.
        assert done.returncode in (0, 7) and not flow.ps()["orchestrators"]


def test_broken_orchestrator_breaks_nothing_else(workflow, tmp_path):
    """No command but those that run it imports orchestrator.py."""
    flow = workflow()
    (flow.directory / "orchestrator.py").write_text(BROKEN)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    create = subprocess.run(
        motoko_command("create", str(flow.directory), "--validated"),
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert create.returncode == 0, create.stderr
    make_runs(flow, {"state": "FAILED"}, {"state": "FINISHED"})
    for arguments in (
        *(["info"], ["info", "--verbose"], ["clean", "--constraints", "runs.id = 2"]),
        *(["supervise", "--detach"], ["ps"], ["ps", "--json"], ["retry", "mult.1"]),
        *(["launcher"], ["orchestrator", "status"], ["orchestrator", "stop"]),
        *(["info", "-", "runs", "info"], ["completion", "bash"], ["--version"], ["--help"]),
        *(["kill", "-bd", "mult"], ["--verbose", "kill"], ["kill", "--reset"]),
    ):
        done = flow.motoko(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        assert "orchestrator.py" not in done.stderr
    assert flow.motoko("create").returncode == 0
    for arguments in (["orchestrator", "start", "-n", "a"], ["run"]):
        done = flow.motoko(*arguments)
        assert done.returncode == 2 and "orchestrator.py, line 1" in done.stderr
