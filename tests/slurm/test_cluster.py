"""The cluster that the tests bring up, by itself: it does what the others expect of it."""

import os
import subprocess

import pytest
from support import wait_until


def submit(cluster, script, *options):
    return cluster.run("sbatch", "--parsable", *options, "--output=/dev/null", f"--wrap={script}")


def until(cluster, job, state, timeout=30):
    def seen():
        assert cluster.job(job)["state"] == state, cluster.job(job)
        return cluster.job(job)

    return wait_until(seen, f"job {job} is {state}", timeout)


def test_a_job_ends(cluster, tmp_path):
    job = submit(cluster, f"touch {tmp_path}/done")
    until(cluster, job, "COMPLETED")
    assert (tmp_path / "done").stat().st_uid == os.geteuid()
    until(cluster, submit(cluster, "exit 3"), "FAILED")


def test_three_nodes(cluster):
    jobs = [submit(cluster, "sleep 100", "--exclusive") for _ in range(4)]
    nodes = {until(cluster, job, "RUNNING")["node"] for job in jobs[:3]}
    assert nodes == {"n1", "n2", "n3"}
    assert until(cluster, jobs[3], "PENDING")["reason"] in ("Resources", "Priority", "None")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_controller_is_restarted(cluster, how):
    job = submit(cluster, "sleep 100")
    until(cluster, job, "RUNNING")
    getattr(cluster, f"{how}_controller")()
    with pytest.raises(OSError, match="Unable to contact slurm controller"):
        cluster.jobs()
    cluster.start_controller()
    if how == "stop":  # else it may have forgotten the job
        until(cluster, job, "RUNNING")


def test_a_node_dies_with_its_job(cluster):
    job = submit(cluster, "sleep 100", "--no-requeue")
    node = until(cluster, job, "RUNNING")["node"]
    cluster.kill_node(node)
    assert not cluster.processes(job)
    until(cluster, job, "NODE_FAIL")
    cluster.wake_node(node)


def test_calls_are_counted(calls):
    assert calls.all() == []
    subprocess.run(["squeue", "-h"], check=True)
    subprocess.run(["sbatch", "--wrap=true", "--output=/dev/null"], check=True)
    (query,), (submission,) = calls.all("squeue"), calls.all("sbatch")
    assert query.arguments == "-h" and query.at < submission.at
