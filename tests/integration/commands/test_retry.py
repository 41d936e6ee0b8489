"""`clean`, `retry`, `kill`, `info`, `launcher` and `orchestrator`, on real workflows."""

import pytest
from command_workflows import STUDIES
from runs import (
    all_are,
    ended,
    make_runs,
    release,
    runs_of,
    states,
    study_base,
)
from support import wait_until

from motoko.operations import retrying
from motoko.operations.retrying import retry

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
        assert (
            flow.directory / "mult" / "BD-mult-runs" / "run-1" / ".motoko" / "attempt-1"
        ).exists()

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
        assert (directory / "test.e1.1").exists() and (directory / ".motoko" / "attempt-2").exists()

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
        """A run that committed FAILED, and whose process goes on, is not retried."""
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
        monkeypatch.setattr(retrying, "END_S", 0.1)
        with study_base(flow) as base, pytest.raises(RuntimeError, match="processes are not gone"):
            retry(base, [1])
        release(flow)
        wait_until(lambda: runs_of(flow)[1].get("ended_state") == "FAILURE", "it has ended")
        assert flow.motoko("retry", "mult.1").returncode == 0
