"""`clean`, `retry`, `kill`, `info`, `launcher` and `orchestrator`, on real workflows."""

import json
import time

import pytest
import transaction
from command_workflows import STUDIES
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
from support import wait_until

from motoko.config import load
from motoko.operations import choosing, cleaning
from motoko.operations.choosing import selected
from motoko.operations.cleaning import CLEANING, clean

DAY_S = 86400.0


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
        done = flow.motoko("clean", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "mult: reset 3 runs, 1 was never started\n"
        runs = runs_of(flow)
        fresh = runs[4].keys()
        assert {entries["state"] for entries in runs.values()} == {"CREATED"}
        wanted = {"files_wanted"}  # the present ones, when it starts
        assert [runs[n].keys() - fresh for n in (1, 2, 3)] == [{"y"} | wanted, wanted, wanted]
        assert all(runs[n]["start_time"] is None for n in runs)
        assert not list((flow.directory / "mult" / "BD-mult-runs").iterdir())
        with study_base(flow) as base:
            assert not base.runs.entries[1].quantities

    def test_directories(self, flow):
        """Only those of runs that have ended; what says more than the database stays."""
        now, long_ago = time.time(), time.time() - 40 * DAY_S
        make_runs(
            flow,
            ended(flow, 1, "FINISHED", attempt_ended=long_ago, y=2.0),
            ended(flow, 2, "FORWARDED", attempt_ended=long_ago),
            ended(flow, 3, "FAILED", attempt_ended=now),
            ended(flow, 4, "FINISHED"),  # its exit record alone says when it has ended
            ended(flow, 5, "START"),
            {},
        )
        directories = {number: run_directory(flow, number) for number in range(1, 6)}
        for directory in directories.values():
            (directory / "large.bin").write_bytes(bytes(100_000))
            (directory / "q.csv").write_text("0 1\n")
        with study_base(flow) as base:
            base.runs.entries[2].quantities["q"] = str(directories[2] / "q.csv")
            transaction.commit()
        refused = flow.motoko("clean", "--directories")
        assert refused.returncode == 2 and "[not-confirmed]" in refused.stderr
        for wrong in (("--directories", "--delete"), ("--older", "3d"), ("--older", "soon")):
            assert flow.motoko("clean", *wrong).returncode == 2
        before = runs_of(flow)
        usage = json.loads(flow.motoko("du", "--json").stdout)["studies"][0]
        assert usage["directories"] == 5 and usage["runs"] > 500_000 > usage["database"] > 0
        # What a process has left that was killed meanwhile.
        directories[3].rename(directories[3].with_name(".removing-run-3"))

        assert flow.motoko("view", "by-name").stdout.startswith("by-name: 4 links made")
        done = flow.motoko("clean", "--directories", "--older", "30d")
        assert done.stdout.startswith("mult: removed 2 run directories ("), done.stdout
        assert not directories[1].exists()
        assert "1 link made, 1 removed, 3 left" in flow.motoko("view", "by-name").stdout
        assert [path.name for path in directories[2].iterdir()] == ["q.csv"]
        assert (directories[3] / "large.bin").exists() and (directories[4] / "large.bin").exists()
        done = flow.motoko("clean", "--directories", "--bd_study", "mult")
        assert "; 1 not ended, left alone" in done.stdout
        left = {number: path.exists() for number, path in directories.items()}
        assert left == {1: False, 2: True, 3: False, 4: True, 5: True}
        assert {path.name for path in directories[4].rglob("*")} == {".motoko", "attempt-1"}
        assert (directories[5] / "large.bin").exists()
        assert runs_of(flow) == before
        assert flow.motoko("explain", "mult.1").returncode == 0
        assert flow.motoko("clean", "mult.1").stdout == "mult: reset 1 run\n"

    def test_chooses(self, workflow):
        flow = workflow(studies=STUDIES)
        for study in STUDIES:
            make_runs(flow, {"state": "FINISHED"}, {"state": "FAILED"}, study=study)
        done = flow.motoko("clean", "-bd", "mult", "--constraints", "state = FAILED, x > 1")
        assert done.stdout == "mult: reset 1 run\n"
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
        assert flow.motoko("clean", "--yes").stdout == "mult: not created\n"
        assert flow.motoko("clean", "-bd", "mult").returncode == 2

    def test_of_a_copied_workflow(self, flow, tmp_path):
        """The original's run directories are none of its business."""
        original = tmp_path / "original"
        original.mkdir()
        (original / "result").write_text("precious")
        make_runs(flow, {"state": "FINISHED", "run_path": str(original)})
        done = flow.motoko("clean", "--yes")
        assert done.returncode == 0 and f"left alone: {original}" in done.stderr
        assert (original / "result").exists() and states(flow) == {1: "CREATED"}

    def test_running_is_refused(self, flow):
        with_waiting_runs(flow)
        flow.supervise()
        make_runs(flow, {}, {})
        wait_until(lambda: sorted(started(flow)) == [1, 2], "the runs are started")
        before = states(flow)
        done = flow.motoko("clean", "--yes")
        assert done.returncode == 1 and "being executed: mult.1, mult.2" in done.stderr
        assert states(flow) == before
        release(flow)
        all_are(flow, "FINISHED")
        # Reset runs are executed anew, each once.
        (flow.directory / "mult" / "go").unlink()
        assert flow.motoko("clean", "--yes").stdout == "mult: reset 2 runs\n"
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
        (run_directory(flow, 2) / ".motoko" / "attempt-1").unlink()
        make_runs(flow, claimed, unclaimed, {"state": "START", "machine_name": "elsewhere"})
        assert flow.motoko("clean", "--yes").returncode == 1  # nobody can tell from here
        done = flow.motoko("clean", "--constraints", "machine_name = localhost")
        assert done.stdout == "mult: reset 2 runs\n"
        assert states(flow) == {1: "CREATED", 2: "CREATED", 3: "START"}

    def test_interrupted_halfway(self, flow, monkeypatch):
        make_runs(flow, ended(flow, 1, "FINISHED", ended_state="FINISHED"))

        def interrupted(path):
            raise KeyboardInterrupt

        monkeypatch.setattr(cleaning, "_remove", interrupted)
        with study_base(flow) as base, pytest.raises(KeyboardInterrupt):
            clean(base, selected(load(flow.path), base, []))
        assert states(flow) == {1: CLEANING}
        assert flow.motoko("clean", "--yes").stdout == "mult: reset 1 run\n"
        assert states(flow) == {1: "CREATED"}

    def test_changed_meanwhile(self, flow):
        make_runs(flow, ended(flow, 1, "FINISHED"), {})
        with study_base(flow) as base:
            done = clean(base, {1: "FAILED", 2: "CREATED", 3: "FINISHED"})
        assert (done.done, done.untouched, done.changed) == ([], [2], [1, 3])
        assert states(flow) == {1: "FINISHED", 2: "CREATED"}

    def test_beside_a_launcher(self, flow):
        """A run that is deleted while it is about to start is started completely or not at all."""
        flow.supervise()
        make_runs(flow, *({} for _ in range(20)))
        with study_base(flow) as base:
            deleted: set[int] = set()
            while len(base.runs.entries) and "FINISHED" not in states(flow).values():
                busy = choosing.running(base, base.runs.entries)
                found = {
                    n: s for n, s in selected(load(flow.path), base, []).items() if n not in busy
                }
                deleted |= {*clean(base, found, delete=True).done}
        wait_until(lambda: set(states(flow).values()) <= {"FINISHED"}, "the others have ended")
        assert deleted and deleted | set(states(flow)) == set(range(1, 21))
        root = flow.directory / "mult" / "BD-mult-runs"

        def executed():
            records = root.glob("run-*/.motoko/exit-1.json")
            return {int(path.parents[1].name[4:]) for path in records}

        # A run says FINISHED a little before its launch.sh has ended.
        wait_until(lambda: executed() == set(states(flow)), "just these were executed")
