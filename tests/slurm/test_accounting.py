"""Where Slurm keeps accounts, jobs that it has forgotten have ended as these say."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

import accounting
import pytest
from accounting import AccountedCluster
from batch import executing, executions, failed, finished, job_of
from cluster import running
from launching import GATE, go, place, start, stop
from support import wait_until
from test_arrays import fan


@pytest.fixture(scope="module")
def running_cluster(request):
    """One with accounting, which forgets jobs soon."""
    cluster = AccountedCluster(Path(tempfile.mkdtemp(prefix="mta-", dir="/tmp")), min_job_age=2)
    needed = (accounting.PROGRAMS, accounting.PACKAGES)
    with running(cluster, request.session, "slurm/accounting", needed):
        yield cluster


def forgotten(cluster, *jobs):
    """Wait until the controller knows nothing of some jobs, and accounting does."""

    def gone():
        return cluster.knows_none_of(*jobs) and all(cluster.accounted(job) for job in jobs)

    wait_until(gone, f"Slurm has forgotten {jobs}", timeout=120)


def test_ends_without_a_record(batch, cluster):
    """They were ended while no launcher looked, and nothing of them could write its exit code."""
    flow, session = batch(yaml="finish: on-exit\n")
    pending = session.create("true", slurm_options=["hold"])
    elements = [session.create(f"sleep 1000 # {n}", slurm_options=["time=5"]) for n in range(2)]
    running = session.create("sleep 1000\n")
    held, job = job_of(session, pending), executing(session, running)
    array = [executing(session, run) for run in elements]
    assert {number.partition("_")[2] for number in array} == {"0", "1"}
    stop(flow, "launcher:mult")
    cluster.run("scancel", held, *array)
    node = cluster.job(job)["node"]
    cluster.kill_node(node)
    wait_until(lambda: cluster.accounted(job) == "NODE_FAIL", "its node has failed", timeout=60)
    cluster.wake_node(node)
    forgotten(cluster, held, job, *array)
    start(flow, "launcher:mult")
    for run in (pending, *elements):
        assert failed(session, run, "CANCELLED")["batch_state"] == "CANCELLED"
    assert failed(session, running, "NODE_FAIL")["batch_state"] == "NODE_FAIL"
    assert len(executions(place(flow, running))) == 1


def test_a_record_says_more(batch, cluster):
    """What the job itself has left goes before what accounting knows."""
    flow, session = batch()
    run = session.create(f"{GATE}python doIt.py\n")
    job = executing(session, run)
    stop(flow, "launcher:mult")
    go(flow, run)
    forgotten(cluster, job)
    start(flow, "launcher:mult")
    finished(session, run)


def test_more_memory_than_it_may_use(batch, cluster):
    """Without cgroups Slurm kills the job, and says why into its output only."""
    _, session = batch()
    hog = f"{sys.executable} -c 'import time; x = b\"1\" * (400 << 20); time.sleep(1000)'\n"
    run = session.create(hog)
    failed(session, run, "Exceeded job memory limit", timeout=90)
    enough = session.create("python doIt.py\n", slurm_options=["mem=1000"])
    finished(session, enough)


@pytest.mark.parametrize(("pack", "count"), [("", 70), ("pack: 3\n", 150)])
def test_a_limit_of_the_users(batch, cluster, calls, pack, count):
    """Accounting says how many jobs the user may have: sbatch is never called in vain."""
    cluster.let_submit(20)
    try:
        flow, session = batch(yaml=f"finish: on-exit\n{pack}")
        runs = fan(session, count)
        finished(session, *runs, timeout=170)
    finally:
        cluster.let_submit(-1)
    submissions = calls.all("sbatch")
    print(f"{pack or 'no packs'}: {len(submissions)} sbatch")
    assert "takes no more jobs" not in flow.log("launcher:mult")
    elements = [re.search(r"--array=0-(\d+)", call.arguments) for call in submissions]
    assert max(int(found[1]) for found in elements if found) == 19, "all that may be"
    assert len(submissions) <= 6


def test_memory_that_runs_have_used(batch, cluster):
    """Jobs cannot know it themselves: `motoko usage` asks accounting, also about arrays."""
    flow, session = batch()
    hold = f"{sys.executable} -c 'import time; x = b\"1\" * (60 << 20); time.sleep(4)' && "
    runs = [session.create(f"{hold}python doIt.py\n")]
    runs += [
        session.create(f"{hold}python doIt.py # {n}\n", slurm_options=["time=5"]) for n in range(2)
    ]
    finished(session, *runs)

    def used():
        done = flow.motoko("usage", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["studies"]["mult"]["used"]["max_rss_bytes"]

    memory = wait_until(lambda: (seen := used())["runs"] == len(runs) and seen, "all are known")
    assert 60 << 20 < memory["mean"] <= memory["max"] < 100 << 20, memory
