"""``motoko info``, ``explain``, ``cancel``, ``retry`` and ``kill``, of batch jobs."""

import json

import pytest
from batch import executing, executions, failed, finished, job_of
from launching import GATE, go, place
from support import wait_until

FINISH = "python doIt.py\n"
GATED = GATE + FINISH


def explained(flow, run):
    done = flow.motoko("explain", f"mult.{run.id}")
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestExplain:
    def test_pending_and_running(self, batch, cluster):
        """The scheduler's own words, and the job's number."""
        flow, session = batch()
        first = session.create(f"{GATED}# 1", slurm_options=["nodes=3", "exclusive"])
        job = executing(session, first)
        second = session.create(f"{GATED}# 2", slurm_options=["nodes=3", "exclusive"])
        waiting = job_of(session, second)
        reason = wait_until(
            lambda: (seen := cluster.job(waiting)["reason"]) != "None" and seen, "a reason"
        )
        assert reason in ("Resources", "Priority")

        def told():
            text = explained(flow, second)
            assert waiting in text and ("Resources" in text or "Priority" in text), text
            return True

        wait_until(told, "explain says why it waits")

        def running():
            text = explained(flow, first)
            assert job in text and "n[1-3]" in text, text
            return True

        wait_until(running, "explain says where it runs")
        found = json.loads(flow.motoko("explain", f"mult.{first.id}", "--json").stdout)
        assert found["batch_job_id"] == job, found
        for run in (first, second):
            go(flow, run)
        finished(session, first, second)

    def test_ended(self, batch, cluster):
        flow, session = batch()
        run = session.create("sleep 1000 & wait")
        job = executing(session, run)
        cluster.run("scancel", job)
        failed(session, run, "CANCELLED")
        text = explained(flow, run)
        assert job in text and "CANCELLED" in text

    def test_scheduler_away(self, batch, cluster):
        """Explain says that nothing is known, and what sbatch says."""
        flow, session = batch()
        cluster.stop_controller()
        run = session.create(FINISH)

        def told():
            text = explained(flow, run)
            assert "Unable to contact slurm controller" in text, text
            return True

        wait_until(told, "explain says that Slurm is away", timeout=60)
        cluster.start_controller()
        finished(session, run, timeout=90)


class TestInfo:
    def test_jobs(self, batch):
        flow, session = batch()
        held = session.create(FINISH, slurm_options=["hold"])
        running = session.create(GATED)
        waiting, job = job_of(session, held), executing(session, running)

        def told():
            text = flow.motoko("info", "--verbose").stdout
            assert waiting in text and job in text, text
            assert "JobHeldUser" in text or "PENDING" in text, text
            return True

        wait_until(told, "info shows the jobs")
        go(flow, running)
        finished(session, running)


class TestCancel:
    def test_pending_and_running(self, batch, cluster):
        """Their jobs are gone from the queue, and nothing of them is left."""
        flow, session = batch(yaml="retries: 2\n")
        held = session.create(FINISH, slurm_options=["hold"])
        running = session.create("sleep 1000 & wait")
        jobs = [job_of(session, held), executing(session, running)]
        done = flow.motoko("cancel", f"mult.{held.id}", f"mult.{running.id}")
        assert done.returncode == 0, done.stdout + done.stderr
        for run in (held, running):
            failed(session, run, "cancelled by")
        for job in jobs:
            wait_until(lambda job=job: cluster.job(job)["state"] == "CANCELLED", f"{job} is")
            wait_until(lambda job=job: not cluster.processes(job), f"nothing lives of {job}")
        assert executions(place(flow, held)) == []

    def test_before_it_is_submitted(self, batch, cluster):
        """A run whose submission the scheduler has not answered: no job of it is ever started."""
        flow, session = batch()
        cluster.stop_controller()
        run = session.create(FINISH)
        wait_until(lambda: "sbatch" in flow.log("launcher:mult"), "sbatch is called")
        flow.motoko("cancel", f"mult.{run.id}", timeout=120)
        cluster.start_controller()
        failed(session, run, "cancelled by", timeout=90)
        live = cluster.jobs("PENDING,RUNNING")
        assert live == [] and executions(place(flow, run)) == []


class TestRetry:
    def test_again_as_another_job(self, batch):
        flow, session = batch()
        run = session.create(f"[ -e fixed ] || exit 3\n{FINISH}")
        first = failed(session, run, "exit code 3")["batch_job_id"]
        (place(flow, run) / "fixed").touch()
        done = flow.motoko("retry", f"mult.{run.id}")
        assert done.returncode == 0, done.stderr
        session.until(run, state="FINISHED", ended_state="FINISHED", attempt=2)
        second = run["batch_job_id"]
        assert executions(place(flow, run)) == [first, second] and first != second


class TestKill:
    def test_jobs_are_left_alone(self, batch, cluster):
        flow, session = batch()
        run = session.create(GATED)
        job = executing(session, run)
        done = flow.motoko("kill", "--now")
        assert done.returncode == 0 and cluster.job(job)["state"] == "RUNNING"
        go(flow, run)
        wait_until(lambda: cluster.job(job)["state"] != "RUNNING", "it ends by itself")

    @pytest.mark.parametrize("study", ["", "mult"])
    def test_cancel_jobs(self, batch, cluster, study):
        """They are cancelled, and their runs say so when they are looked at again."""
        flow, session = batch()
        held = session.create(FINISH, slurm_options=["hold"])
        running = session.create("sleep 1000 & wait")
        jobs = [job_of(session, held), executing(session, running)]
        job_of(session, running)
        which = ["--bd_study", study] if study else []
        done = flow.motoko("kill", "--now", "--cancel-jobs", *which)
        assert done.returncode == 0, done.stdout + done.stderr
        for job in jobs:
            wait_until(lambda job=job: cluster.job(job)["state"] == "CANCELLED", f"{job} is")
        flow.supervise()
        for run in (held, running):
            failed(session, run)
        assert executions(place(flow, held)) == []


class TestDoctor:
    def test_a_node(self, batch):
        """What a job sees there, and that it comes in by the gate; nothing is left of it."""
        flow, _ = batch(yaml="remote: true\n")
        done = flow.motoko("doctor", "--nodes", "--json")
        assert done.stdout, done.stderr
        answer = json.loads(done.stdout)
        levels = {finding["check"]: finding["level"] for finding in answer["findings"]}
        assert levels["scheduler"] == levels["nodes"] == "ok", answer
        assert levels["nodes: head node"] == levels["nodes: locks"] == "ok", answer
        assert not list(flow.directory.glob(".motoko-doctor-*"))
