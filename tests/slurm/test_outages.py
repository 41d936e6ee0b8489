"""Somebody is away while jobs are submitted, run and end: the scheduler, a server, or Motoko."""

import os
import shutil
import signal
import stat

import pytest
from batch import executing, executions, failed, finished, job_of, release_held
from launching import GATE, go, identity, kill_daemon, place, start, stop
from slurm_programs import SYSTEM_PATH
from support import wait_until

FINISH = "python doIt.py\n"
GATED = GATE + FINISH


def faulty(tmp_path, monkeypatch, program, shell):
    """Put a program before the true one, for the first call only; it may call ``"$TRUE" "$@"``."""
    place = tmp_path / "faulty"
    place.mkdir()
    path = place / program
    true = shutil.which(program, path=SYSTEM_PATH)
    once = f'TRUE={true}\n[ -e "$0.done" ] && exec "$TRUE" "$@"\ntouch "$0.done"\n'
    path.write_text(f"#!/bin/sh\n{once}{shell}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    return place / f"{program}.done"


def named(cluster, run):
    """The jobs that were ever submitted for a run: those with its job's name."""
    return [job for job in cluster.jobs() if job["name"] == named_as(cluster, run)]


def named_as(cluster, run):
    return cluster.job(run["batch_job_id"])["name"]


class TestScheduler:
    def test_frozen_during_sbatch(self, batch, cluster, calls):
        """sbatch gives up, and yet the job is queued: it is found, and not submitted again."""
        flow, session = batch()
        cluster.freeze_controller()
        run = session.create(FINISH)
        wait_until(lambda: calls.all("sbatch"), "sbatch is called")
        wait_until(lambda: not cluster.clients("sbatch"), "sbatch gives up", timeout=60)
        cluster.thaw_controller()
        finished(session, run, timeout=90)
        assert len(executions(place(flow, run))) == 1
        assert len(named(cluster, run)) == 1 and run["attempt"] == 1

    def test_sbatch_fails_after_it_has_submitted(self, batch, cluster, tmp_path, monkeypatch):
        said = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
        shell = f'"$TRUE" "$@" > "$0.first"\necho "{said}" >&2\nexit 1'
        done = faulty(tmp_path, monkeypatch, "sbatch", shell)
        flow, session = batch()
        run = session.create(FINISH)
        finished(session, run)
        assert done.exists() and len(named(cluster, run)) == 1
        first = (done.parent / "sbatch.first").read_text().strip()
        assert executions(place(flow, run)) == [first] == [run["batch_job_id"]]

    def test_away_at_submission(self, batch, cluster):
        """Nothing is FAILED for it; it is submitted as soon as that is possible."""
        flow, session = batch()
        cluster.stop_controller()
        run = session.create(FINISH)
        wait_until(lambda: "sbatch" in flow.log("launcher:mult"), "sbatch is called")
        words = "Unable to contact slurm controller"
        wait_until(lambda: words in flow.log("launcher:mult"), "it is reported", timeout=60)
        session.until(run, timeout=1.0, failure_reason=None)
        cluster.start_controller()
        finished(session, run, timeout=90)
        assert len(named(cluster, run)) == 1

    @pytest.mark.parametrize("how", ["stop", "freeze"])
    def test_away_while_jobs_run(self, batch, cluster, how):
        """A query that fails says nothing about jobs: it is reported, and changes nothing."""
        flow, session = batch()
        runs = [session.create(f"{GATED}# {number}") for number in range(3)]
        for run in runs:
            executing(session, run)
            job_of(session, run)
            session.until(run, state="launched")
        getattr(cluster, f"{how}_controller")()
        words = "the batch system gives no answer"
        wait_until(lambda: words in flow.log("launcher:mult"), "it is reported", timeout=60)
        for run in runs:
            session.until(run, timeout=1.0, state="launched")
        go(flow, runs[0])
        session.until(runs[0], state="FINISHED")
        {"stop": cluster.start_controller, "freeze": cluster.thaw_controller}[how]()
        for run in runs[1:]:
            go(flow, run)
        finished(session, *runs)
        assert all(len(executions(place(flow, run))) == 1 for run in runs)

    def test_killed_before_it_has_saved_them(self, batch, cluster):
        """Jobs that it has forgotten before they start are submitted again."""
        flow, session = batch()
        runs = [session.create(f"{FINISH}# {n}", slurm_options=["hold"]) for n in range(3)]
        jobs = {job_of(session, run) for run in runs}
        cluster.forget_all()
        release_held(cluster, len(jobs))
        finished(session, *runs, timeout=90)
        for run in runs:
            assert run["attempt"] == 1 and len(executions(place(flow, run))) == 1
        assert flow.log("launcher:mult").count("submitted again") == len(runs)


class TestMotoko:
    def test_launcher_killed(self, batch):
        """Its jobs go on, and the next launcher follows them."""
        flow, session = batch("--slots", "1")
        runs = [session.create(f"{GATED}# {number}") for number in range(3)]
        runs.append(session.create(f"{GATE}exit 3"))
        for run in runs:
            executing(session, run)
        kill_daemon(flow, "launcher:mult")
        for run in runs[::2]:
            go(flow, run)
        finished(session, runs[0], runs[2])
        kill_daemon(flow, "launcher:mult")
        for run in runs[1::2]:
            go(flow, run)
        finished(session, runs[1])
        failed(session, runs[3], "exit code 3")
        assert all(len(executions(place(flow, run))) == 1 for run in runs)

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_launcher_killed_at_sbatch(self, batch, cluster, tmp_path, monkeypatch, moment):
        """Before the job is submitted, and after, when its number is known to nobody."""
        submit = '"$TRUE" "$@" > "$0.first"\n' if moment == "after" else ""
        done = faulty(tmp_path, monkeypatch, "sbatch", f"{submit}kill -9 $PPID")
        flow, session = batch()
        run = session.create(FINISH)
        finished(session, run)
        assert "launcher:mult" in flow.daemons() and done.exists()
        assert flow.daemons()["launcher:mult"]["restarts"] == 1
        jobs = executions(place(flow, run))
        assert jobs == [run["batch_job_id"]] and len(named(cluster, run)) == 1
        if moment == "after":
            assert jobs == [(done.parent / "sbatch.first").read_text().strip()]
        assert run["attempt"] == 1

    def test_outlives_the_launcher(self, batch, cluster):
        """It starts and ends while there is none."""
        flow, session = batch()
        held = session.create(FINISH, slurm_options=["hold"])
        gated = session.create(f"{GATE}exit 2")
        held_job, job = job_of(session, held), executing(session, gated)
        stop(flow, "launcher:mult")
        cluster.run("scontrol", "release", held_job)
        go(flow, gated)
        for number, state in ((held_job, "COMPLETED"), (job, "FAILED")):
            wait_until(
                lambda number=number, state=state: cluster.job(number)["state"] == state,
                f"job {number} is {state}",
            )
        start(flow, "launcher:mult")
        finished(session, held)
        assert failed(session, gated, "exit code 2")["exit_code"] == 2

    def test_supervisor_killed(self, batch):
        """Killed, and all of its daemons too, as at a reboot of the head node."""
        flow, session = batch(yaml="finish: on-exit\n")
        runs = [session.create(GATE), session.create(f"{GATE}exit 6")]
        for run in runs:
            executing(session, run)
        for name in ("supervisor", "launcher:mult", "watcher", "bus", "zeo:mult"):
            found = flow.ps()["supervisor"] if name == "supervisor" else flow.daemons()[name]
            os.kill(found["pid"], signal.SIGKILL)
        go(flow, runs[0])
        flow.supervise()
        finished(session, runs[0])
        go(flow, runs[1])
        failed(session, runs[1], "exit code 6")
        assert all(len(executions(place(flow, run))) == 1 for run in runs)

    def test_stopped_meanwhile(self, batch):
        """``motoko kill`` leaves jobs alone, and the next ``motoko supervise`` follows them."""
        flow, session = batch(yaml="finish: on-exit\n")
        runs = [session.create(GATE), session.create(f"{GATE}# 2")]
        for run in runs:
            executing(session, run)
        assert flow.motoko("kill", "--now").returncode == 0
        go(flow, runs[0])
        flow.supervise()
        finished(session, runs[0])
        go(flow, runs[1])
        finished(session, runs[1])
        assert all(len(executions(place(flow, run))) == 1 for run in runs)


class TestServer:
    """The study's ZEO server is away when a job starts, when it ends, or both."""

    def test_at_the_end(self, batch, cluster):
        """What the job leaves behind is recorded when the server is back."""
        flow, session = batch(yaml="finish: on-exit\n")
        good, bad = session.create(f"{GATE}true"), session.create(f"{GATE}exit 5")
        jobs = [executing(session, run) for run in (good, bad)]
        stop(flow, "zeo:mult")
        for run, job, state in zip((good, bad), jobs, ("COMPLETED", "FAILED"), strict=True):
            go(flow, run)
            wait_until(
                lambda job=job, state=state: cluster.job(job)["state"] == state, f"{job} {state}"
            )
        start(flow, "zeo:mult")
        finished(session, good)
        failed(session, bad, "exit code 5")

    def test_at_the_start(self, batch, cluster):
        """A job that cannot reach it says so; one that need not is not disturbed."""
        flow, session = batch()
        talks, alone = session.create(GATED), session.create(f"{GATE}exit 3")
        jobs = [executing(session, run) for run in (talks, alone)]
        stop(flow, "zeo:mult")
        for run, job in zip((talks, alone), jobs, strict=True):
            go(flow, run)
            wait_until(
                lambda job=job: cluster.job(job)["state"] == "FAILED", f"{job} ends", timeout=60
            )
        assert flow.daemons()["zeo:mult"]["state"] == "stopped", "nobody on a node starts one"
        start(flow, "zeo:mult")
        failed(session, talks, "database connection lost")
        failed(session, alone, "exit code 3")

    def test_killed_again_and_again(self, batch):
        """Plain runs are FINISHED whatever happens to the server."""
        flow, session = batch(yaml="finish: on-exit\n")
        runs = [session.create(f"{GATE}# {number}") for number in range(6)]
        for number, run in enumerate(runs):
            executing(session, run)
            identity(flow, "zeo:mult")
            kill_daemon(flow, "zeo:mult")
            if number % 2:
                go(flow, run)
        for run in runs:
            go(flow, run)
        finished(session, *runs)
