"""What becomes of a job, in each way that it can end: what the run says, and that awaits end."""

import re

import pytest
from batch import executing, executions, failed, finished, job_of
from launching import GATE, go, place, start, stop
from support import wait_until

from motoko.runs.fences import fences

FINISH = "python doIt.py\n"
# Slurm signals the children of the script at the time limit, and the script itself too.
SLEEP = "sleep 1000 & wait $!\n"


def with_channel(flow):
    """As if clients on other hosts could reach the studies' servers."""
    (flow.directory / ".wf" / "channel").mkdir(mode=0o700, exist_ok=True)


def fenced(flow):
    return fences(flow.directory, "mult")


class TestByThemselves:
    def test_exit_codes_and_finish(self, batch):
        flow, session = batch()
        ends = {
            FINISH: (0, None),
            f"{FINISH}exit 4": (4, None),  # its own word wins
            "exit 1": (1, "exit code 1"),
            "set -e\nfalse\ntouch wrong": (1, "exit code 1"),
            "exec sh -c 'echo last words >&2; exit 8'": (8, "last words"),
            "exit 0": (0, "never called finish"),
            "kill -9 $$; sleep 60": (137, "SIGKILL"),
            "false | tee out": (0, "never called finish"),
        }
        runs = [session.create(script) for script in ends]
        errors = session.ends(*runs, timeout=60)
        for run, error, (code, reason) in zip(runs, errors, ends.values(), strict=True):
            state = "FAILED" if reason else "FINISHED"
            session.until(run, state=state, ended_state=state, exit_code=code)
            assert (error is None) == (reason is None), (code, error)
            assert reason is None or (error is not None and reason in error.reason), error
            assert len(executions(place(flow, run))) == 1
            assert re.fullmatch(r"\d+(_\d+)?", run["batch_job_id"]) and run["batch_nodes"]
            assert not (place(flow, run) / "wrong").exists()

    def test_output_and_environment(self, batch):
        """The files of a local run; BlackDynamite's variables; Python's programs on PATH."""
        _, session = batch()
        run = session.create(f"echo out; echo err >&2; canYouDigIt --help > help\n{FINISH}")
        finished(session, run)
        directory = place(session.flow, run)
        assert (directory / f"r.o{run.id}").read_text() == "out\n"
        assert "err\n" in (directory / f"r.e{run.id}").read_text()
        assert (directory / "help").stat().st_size and run.entries["run_path"] == str(directory)

    def test_plain_programs(self, batch):
        """``finish: on-exit``: the exit code says how it ended, its output has its results."""
        results = "results: {y: 'y = (.*)'}\n"
        _, session = batch(yaml=f"finish: on-exit\n{results}", do_it=False)
        good, bad, mute = (session.create(code) for code in ("echo y = 2.5", "exit 7", "true"))
        finished(session, good)
        assert good.y == 2.5
        failed(session, mute, "no result y")
        assert failed(session, bad, "exit code 7")["exit_code"] == 7

    def test_retries(self, batch):
        """Each attempt is a job of its own, and the output of the earlier one is kept."""
        flow, session = batch(yaml="retries: 2\n")
        again = (
            f"echo $SLURM_JOB_ID >> ../jobs\n[ -e again ] || {{ touch again; exit 5; }}\n{FINISH}"
        )
        run = session.create(again)
        finished(session, run)
        assert run.attempt == 2 and "exit code 5" in run.last_failure
        jobs = (place(flow, run).parent / "jobs").read_text().split()
        assert len(set(jobs)) == 2 and jobs[-1] == run["batch_job_id"]
        assert (place(flow, run) / f"r.o{run.id}.1").exists()

    def test_timeout(self, batch, cluster):
        """The policy of motoko.yaml: Motoko ends the job."""
        flow, session = batch(yaml="timeout: 2s\n")
        run = session.create(SLEEP)
        job = executing(session, run)
        failed(session, run, "longer than its time limit of 2 s")
        wait_until(lambda: cluster.job(job)["state"] == "CANCELLED", "its job is cancelled")
        assert len(executions(place(flow, run))) == 1

    def test_time_limit(self, batch, cluster):
        """With and without a trap in the script, and one that has said that it is FINISHED."""
        flow, session = batch()
        scripts = {
            "plain": SLEEP,
            "deaf": f"trap '' TERM USR1 USR2\n{SLEEP}{SLEEP}",
            "trap": f"trap 'touch trapped; exit 0' TERM\n{SLEEP}",
            "child": "sleep 1000\n",  # bash defers its traps until that has ended
            "done": f"{FINISH}{SLEEP}",
            "warned": f"trap 'touch warned; {FINISH.strip()}; exit 0' USR1\n{SLEEP}",
            "rescue": f"trap 'python doIt.py; exit 0' TERM\n{SLEEP}",
        }
        early = {"warned": {"slurm_options": ["signal=B:USR1@60"]}}
        runs = {
            name: session.create(script, **early.get(name, {})) for name, script in scripts.items()
        }
        for name, run in runs.items():
            # The warning comes when the controller looks the next time, the end when it has come.
            cluster.expire(executing(session, run), after=50 if name == "warned" else 1)
        for name in ("plain", "deaf", "trap", "child"):
            seen = failed(session, runs[name], "TIMEOUT", timeout=90)
            assert seen["batch_state"] == "TIMEOUT", seen
        for name in ("done", "rescue", "warned"):
            finished(session, runs[name], timeout=90)
        assert runs["warned"]["exit_code"] == 0
        assert (place(flow, runs["trap"]) / "trapped").exists()


class TestByOthers:
    def test_scancel(self, batch, cluster):
        """Of a pending job and of a running one; neither is tried again."""
        flow, session = batch(yaml="retries: 3\n")
        pending = session.create(FINISH, slurm_options=["hold"])
        running = session.create(SLEEP)
        cluster.run("scancel", job_of(session, pending))
        cluster.run("scancel", executing(session, running))
        for run in (pending, running):
            seen = failed(session, run, "CANCELLED")
            assert (seen["batch_state"], seen["attempt"]) == ("CANCELLED", 1), seen
        assert executions(place(flow, pending)) == []

    def test_a_refused_option(self, batch, cluster):
        """FAILED at once with sbatch's words; those that come after are not held up."""
        _, session = batch(yaml="retries: 3\n")
        wrong = [["no-such-option=1"], ["partition=moon"], ["nodes=17"], ["time=soon"]]
        runs = [session.create(f"true {o}", slurm_options=o) for o in wrong]
        good = session.create(FINISH)
        said = ["unrecognized option", "invalid partition", "node count", "time"]
        for run, words in zip(runs, said, strict=True):
            seen = failed(session, run, "sbatch", words)
            assert seen.get("batch_job_id") is None and seen["attempt"] == 1, seen
        finished(session, good)
        assert len(cluster.jobs()) >= 1

    def test_a_node_fails(self, batch, cluster):
        """With a job that must not be requeued (as usual), and one that the user allows to be."""
        flow, session = batch()
        with_channel(flow)
        lost = session.create(SLEEP, slurm_options=["nodelist=n1"])
        moved = session.create(f"[ -e go ] || {SLEEP}{FINISH}", slurm_options=["requeue"])
        executing(session, lost)
        job = executing(session, moved)
        node = cluster.job(job)["node"]
        go(flow, moved)
        for name in {"n1", node}:
            cluster.kill_node(name)
        seen = failed(session, lost, "NODE_FAIL", timeout=90)
        assert "NODE_FAIL" in fenced(flow)[lost.id, 1].reason
        assert (seen["batch_state"], seen["batch_nodes"]) == ("NODE_FAIL", "n1"), seen
        cluster.start_at_once(job)
        finished(session, moved)
        assert executions(place(flow, moved)) == [job, job] and moved["attempt"] == 2
        assert fenced(flow).keys() == {(lost.id, 1), (moved.id, 1)}

    def test_a_requeue(self, batch, cluster):
        """A new attempt, recorded, of the same job."""
        flow, session = batch()
        with_channel(flow)
        script = f"[ -e go ] || {SLEEP}{FINISH}"
        run = session.create(script, slurm_options=["requeue"])
        job = executing(session, run)
        go(flow, run)
        cluster.requeue(job)
        finished(session, run)
        assert run["attempt"] == 2 and run["batch_job_id"] == job
        assert fenced(flow).keys() <= {(run.id, 1)}  # not if its script could record its end
        assert executions(place(flow, run)) == [job, job]

    def test_not_requeued_unasked(self, batch, cluster):
        _, session = batch()
        run = session.create(SLEEP)
        with pytest.raises(OSError, match="disabled"):
            cluster.run("scontrol", "requeue", executing(session, run))

    def test_hold(self, batch, cluster):
        """It waits, for however long, and explain says for what."""
        flow, session = batch()
        run = session.create(FINISH, slurm_options=["hold"])
        job = job_of(session, run)

        def explained():
            return "JobHeldUser" in flow.motoko("explain", f"mult.{run.id}").stdout

        wait_until(explained, "explain says that it is held")
        cluster.run("scontrol", "release", job)
        finished(session, run)

    def test_a_dependency_that_cannot_be_satisfied(self, batch, cluster):
        """Slurm keeps such a job for ever: it is cancelled, and the run has failed."""
        flow, session = batch()
        bad = session.create("exit 1")
        failed(session, bad)
        after = f"dependency=afterok:{bad['batch_job_id']}"
        run = session.create(FINISH, slurm_options=[after])
        seen = failed(session, run, "DependencyNeverSatisfied")
        assert cluster.job(seen["batch_job_id"])["state"] == "CANCELLED"
        assert executions(place(flow, run)) == []


class TestVanished:
    """The scheduler forgets a job before anybody has looked."""

    @pytest.fixture
    def forgetful(self, cluster):
        before = cluster.min_job_age
        cluster.reconfigure(min_job_age=2)
        yield cluster
        cluster.reconfigure(min_job_age=before)

    @staticmethod
    def forgotten(cluster, *jobs):
        what = f"Slurm has forgotten {jobs}"
        wait_until(lambda: cluster.knows_none_of(*jobs), what, timeout=120)

    def test_with_a_record(self, batch, forgetful):
        """Its own record, and the run's state, say how it ended."""
        flow, session = batch(yaml="finish: on-exit\n")
        good, bad = session.create(f"{GATE}true"), session.create(f"{GATE}exit 9")
        own = session.create(f"{GATE}{FINISH}")
        jobs = [executing(session, run) for run in (good, bad, own)]
        stop(flow, "launcher:mult")
        for run in (good, bad, own):
            go(flow, run)
        self.forgotten(forgetful, *jobs)
        start(flow, "launcher:mult")
        finished(session, good, own)
        failed(session, bad, "exit code 9")

    def test_without_one(self, batch, cluster):
        """Never assumed to have succeeded: LOST. All that Slurm knew is gone with its state."""
        flow, session = batch(yaml="finish: on-exit\n")
        run = session.create(SLEEP)
        job = executing(session, run)
        stop(flow, "launcher:mult")
        cluster.kill_processes(job)
        cluster.forget_all()
        start(flow, "launcher:mult")
        seen = failed(session, run, "lost")
        assert re.search(rf"\b{job}\b", seen["failure_reason"]), seen
        assert len(executions(place(flow, run))) == 1
