"""Runs that are executed by one job: each is by itself all the same."""

import json

import pytest
from batch import executing, executions, failed, finished, job_of, release_held
from launching import GATE, go, place
from support import wait_until
from test_arrays import fan
from test_outages import faulty

from motoko.runs import packs
from motoko.runs.entries import DocumentedEntries

PLAIN = "finish: on-exit\n"
SLEEP = "sleep 1000 & wait $!"
HOLD = GATE.strip()


def explained(flow, run):
    return json.loads(flow.motoko("explain", f"mult.{run.id}", "--json").stdout)


def test_each_by_itself(batch, cluster, calls):
    """Ends, failures, another attempt, cancelling what runs and what waits: one job, not disturbed.

    Then the job is ended from outside: what runs has failed for that, the others are submitted
    again.
    """
    flow, session = batch(yaml=f"{PLAIN}pack: {{runs: 20, at_once: 2}}\n")
    scripts = {
        "good": 'echo "$PWD" "$SLURM_SUBMIT_DIR" > where',
        "exit": "exit 3",
        "again": "[ -e again ] || { touch again; exit 5; }",
        "slow": "# slow\n" + SLEEP,
        "first": "# first\n" + HOLD,
        "second": "# second\n" + SLEEP,
        "waiting": "# waiting\ntrue",
        "last": "# last\ntrue",
    }
    params = {"slow": {"timeout": 3}, "again": {"retries": 1}}
    runs = {
        name: session.create(script, **params.get(name, {})) for name, script in scripts.items()
    }
    finished(session, runs["good"])
    directory = place(flow, runs["good"])
    assert (directory / "where").read_text() == f"{directory} {directory}\n"
    failed(session, runs["exit"], "exit code 3")
    failed(session, runs["slow"], "time limit of 3 s")
    job = job_of(session, runs["first"])
    assert job.isdigit() and executing(session, runs["second"]) == job
    assert {job_of(session, runs[name]) for name in ("good", "exit", "waiting", "last")} == {job}
    seen = explained(flow, runs["waiting"])
    assert "other runs of its pack" in json.dumps(seen), seen
    for name in ("waiting", "second"):
        cancelled = flow.motoko("cancel", f"mult.{runs[name].id}")
        assert cancelled.returncode == 0, cancelled.stderr
        assert failed(session, runs[name], "cancelled by")["batch_state"] == "CANCELLED"
    assert executions(place(flow, runs["waiting"])) == []
    finished(session, runs["last"])
    assert cluster.job(job)["state"] == "RUNNING" and not calls.all("scancel")
    go(flow, runs["first"])
    finished(session, runs["first"], runs["again"])
    wait_until(lambda: cluster.job(job)["state"] == "COMPLETED", "its job is over")
    assert executions(place(flow, runs["again"]))[0] == job and len(calls.all("sbatch")) == 2


@pytest.mark.parametrize("how", ["scancel", "node", "limit"])
def test_its_job_is_ended(batch, cluster, how):
    """What has ended stays, what runs has failed, what has not started is submitted again."""
    flow, session = batch(yaml=f"{PLAIN}pack: 10\n")
    runs = [session.create(script) for script in ("true # 0", SLEEP, "true # 2", "true # 3")]
    job = executing(session, runs[1])
    if how == "node":
        cluster.kill_node(cluster.job(job)["node"])
        failed(session, runs[1], "NODE_FAIL", timeout=90)
    elif how == "limit":
        cluster.expire(job)
        failed(session, runs[1], "TIMEOUT", timeout=90)
    else:
        cluster.run("scancel", job)
        failed(session, runs[1], "CANCELLED")
    finished(session, *runs[2:])
    session.refresh()
    assert executions(place(flow, runs[0])) == executions(place(flow, runs[1])) == [job]
    for run in runs[2:]:
        (other,) = executions(place(flow, run))
        assert other != job and run["attempt"] == 1
    assert DocumentedEntries(runs[0].entries)["ended_state"] == "FINISHED"


def test_it_is_requeued(batch, cluster):
    """The same job goes on: with the run that it was at, as its next attempt."""
    flow, session = batch(yaml=f"{PLAIN}pack: 10\nslurm_options: [requeue]\n")
    wait = f"[ -e go ] || {{ {SLEEP}; }}"
    runs = [session.create(script) for script in ("exit 4", wait, "true # 2")]
    failed(session, runs[0], "exit code 4")
    job = executing(session, runs[1])
    go(flow, runs[1])
    cluster.requeue(job)
    finished(session, *runs[1:])
    assert [executions(place(flow, run)) for run in runs] == [[job], [job, job], [job]]
    assert [run["attempt"] for run in runs] == [1, 2, 1]


def test_it_cannot_start(batch, cluster, calls):
    """Refused or cancelled while it waits: all of its runs have failed for that."""
    flow, session = batch(yaml=f"{PLAIN}pack: 10\nretries: 2\n")
    runs = fan(session, 3, slurm_options=["partition=moon"])
    for run in runs:
        assert failed(session, run, "invalid partition")["attempt"] == 1
    held = fan(session, 3, "true # held", slurm_options=["hold"])
    job = job_of(session, held[2])

    def is_held():
        return "JobHeldUser" in json.dumps(explained(flow, held[1]))

    wait_until(is_held, "explain says that it is held")
    flow.motoko("cancel", f"mult.{held[0].id}")
    failed(session, held[0], "cancelled by")
    assert cluster.job(job)["state"] == "PENDING", "the others wait as before"
    cluster.run("scancel", job)
    for run in held[1:]:
        assert failed(session, run, "CANCELLED")["attempt"] == 1
    others = fan(session, 3, "true # others", slurm_options=["hold"])
    job = job_of(session, others[0])
    for run in others:
        flow.motoko("cancel", f"mult.{run.id}")
    wait_until(lambda: cluster.job(job)["state"] == "CANCELLED", "nothing is left of it")


@pytest.mark.parametrize("moment", ["earlier", "before", "after"])
def test_launcher_killed_at_sbatch(batch, cluster, calls, tmp_path, monkeypatch, moment):
    """The pack is found again by its file, or its runs are submitted as another one.

    Without a file nothing was submitted, and the scheduler need not be asked.
    """
    submit = '"$TRUE" "$@" > "$0.first"\n' if moment == "after" else ""
    program = "scontrol" if moment == "earlier" else "sbatch"
    done = faulty(tmp_path, monkeypatch, program, f"{submit}kill -9 $PPID")
    flow, session = batch(yaml=f"{PLAIN}pack: 4\n")
    runs = fan(session, 10, "sleep 0.1")
    finished(session, *runs)
    assert flow.daemons()["launcher:mult"]["restarts"] == 1 and done.exists()
    jobs = {job for run in runs for job in executions(place(flow, run))}
    assert len(jobs) == 3 and all(len(executions(place(flow, run))) == 1 for run in runs)
    assert len({job.partition("_")[0] for job in jobs}) == 1
    if moment == "after":
        array = (done.parent / "sbatch.first").read_text().strip()
        assert {job.partition("_")[0] for job in jobs} == {array}
    if moment == "earlier":
        assert "submitted again" not in flow.log("launcher:mult")
        assert len(calls.all("sbatch")) == 1


def test_four_at_once_while_the_controller_is_away(batch, cluster, calls):
    """Where a run has ended, the job starts the next one, and never more than four."""
    flow, session = batch(yaml=f"{PLAIN}pack: {{runs: 20, at_once: 4}}\n")
    runs = fan(session, 7, HOLD)
    job = job_of(session, runs[0])
    assert [executing(session, run) for run in runs[:4]] == [job] * 4
    cluster.stop_controller()
    for run in runs[:2]:
        go(flow, run)
    finished(session, *runs[:2])
    assert [executing(session, run) for run in runs[4:6]] == [job] * 2
    assert not executions(place(flow, runs[6])), "four others go on"
    cluster.start_controller()
    for run in runs[2:]:
        go(flow, run)
    finished(session, *runs[2:])
    for run in runs:
        assert executions(place(flow, run)) == [job] and run["attempt"] == 1
    assert len(calls.all("sbatch")) == 1


def test_the_controller_forgets_them(batch, cluster, calls):
    """What it had accepted in its last seconds is submitted again, together."""
    flow, session = batch(yaml=f"{PLAIN}pack: 3\n")
    runs = fan(session, 8, slurm_options=["hold"])
    assert len({job_of(session, run) for run in runs}) == 3
    cluster.forget_all()
    release_held(cluster, 3)
    finished(session, *runs, timeout=90)
    for run in runs:
        assert len(executions(place(flow, run))) == 1 and run["attempt"] == 1
    assert len(calls.all("sbatch")) == 2


def test_without_a_launcher(batch, cluster):
    """`cancel` ends a run of a pack alone; `kill --cancel-jobs` cancels the job."""
    flow, session = batch(yaml=f"{PLAIN}pack: {{runs: 5, at_once: 2}}\n")
    runs = fan(session, 5, SLEEP)
    job = executing(session, runs[0])
    executing(session, runs[1])
    flow.motoko("kill")
    assert cluster.job(job)["state"] == "RUNNING"
    done = flow.motoko("cancel", f"mult.{runs[0].id}", f"mult.{runs[4].id}")
    assert done.returncode == 0, done.stderr
    assert cluster.job(job)["state"] == "RUNNING"
    executing(session, runs[2])
    (pack,) = packs.all_of(place(flow, runs[0]).parent)
    assert [*pack.members] == [run.id for run in runs] and pack.ending == {runs[0].id}
    flow.supervise()
    flow.motoko("kill", "--cancel-jobs")
    wait_until(lambda: cluster.job(job)["state"] == "CANCELLED", "its job is cancelled")


WARM_OR_NOT = """\
import os
import sys
import time

import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
place = os.environ.get("MOTOKO_WARM")
while place and not os.path.exists(f"{place}/ready"):
    time.sleep(0.01)
run["is_warm"] = "fractions" in sys.modules
run["y"] = 2.0
run.finish()
"""


def test_warm(batch, calls):
    """One template for a job: its first run is cold, and the others are forked."""

    def edit(flow):
        (flow.directory / "mult" / "doIt.py").write_text(WARM_OR_NOT)

    flow, session = batch(yaml="pack: 10\npreload: [fractions]\n", edit=edit)
    runs = fan(session, 6, "python doIt.py", python="warm")
    finished(session, *runs)
    assert len(calls.all("sbatch")) == 1
    seen = [DocumentedEntries(run.entries) for run in runs]
    assert [entries["is_warm"] for entries in seen] == [False] + [True] * 5
    assert [entries["y"] for entries in seen] == [2.0] * 6
    assert all(entries["cpu_s"] >= 0 for entries in seen)
    assert len({job for run in runs for job in executions(place(flow, run))}) == 1


@pytest.mark.parametrize("how", ["scancel", "node", "timeout"])
def test_a_warm_one_is_ended(batch, cluster, how):
    """With its job, or alone: a forked run ends as others do, and the rest is executed."""

    def edit(flow):
        slow = (
            "    if sys.argv[1:]:\n        open('begun', 'w').close()\n        time.sleep(1000)\n"
        )
        text = WARM_OR_NOT.replace('run["y"]', f'if run["is_warm"]:\n{slow}run["y"]')
        (flow.directory / "mult" / "doIt.py").write_text(text)

    flow, session = batch(yaml="pack: 20\npreload: [fractions]\n", edit=edit)
    scripts = ["python doIt.py", "python doIt.py slow", "python doIt.py # 2", "python doIt.py # 3"]
    limits = [{}, {"timeout": 3} if how == "timeout" else {}, {}, {}]
    runs = [
        session.create(script, python="warm", **limit)
        for script, limit in zip(scripts, limits, strict=True)
    ]
    job = executing(session, runs[1])
    wait_until((place(flow, runs[1]) / "begun").exists, "it was forked, and has begun")
    if how == "scancel":
        cluster.run("scancel", job)
    elif how == "node":
        cluster.kill_node(cluster.job(job)["node"])
    reasons = {"scancel": "CANCELLED", "node": "NODE_FAIL", "timeout": "time limit of 3 s"}
    failed(session, runs[1], reasons[how], timeout=90)
    finished(session, runs[0], *runs[2:])
    jobs = [executions(place(flow, run)) for run in runs]
    assert jobs[0] == jobs[1] == [job] and jobs[2] == jobs[3]
    assert (jobs[2] == [job]) == (how == "timeout")
