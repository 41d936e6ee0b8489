"""How often the scheduler is asked: once a cycle at most, whatever there is, and else never."""

import itertools
import time

from batch import entries, executing, finished, job_of
from launching import GATE, kill_daemon, place
from support import wait_until

FINISH = "python doIt.py\n"
GATED = GATE + FINISH
INTERVAL_S = 0.5  # of the tests
QUERIES = ("squeue", "sacct", "scontrol", "sinfo")


def asked(calls):
    return [call for call in calls.all() if call.program in QUERIES]


def cycles(calls, count):
    """Wait until the scheduler has been queried ``count`` times more."""
    goal = len(calls.all("squeue")) + count
    wait_until(lambda: len(calls.all("squeue")) >= goal, f"{count} more queries", timeout=60)


def quiet(calls, seconds):
    """Wait that long: nothing may be asked."""
    before, end = asked(calls), time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, "time has passed", timeout=seconds + 10)
    assert asked(calls) == before


def test_none_when_nothing_is_submitted(calls, batch):
    """Neither before the first job nor after the last one."""
    flow, session = batch()
    before = len(asked(calls))  # what supervise asks, of the nodes
    quiet(calls, 4 * INTERVAL_S)
    run = session.create(FINISH)
    finished(session, run)
    assert len(asked(calls)) > before and len(calls.all("sbatch")) == 1

    def settled():
        (seen,) = entries(flow)
        assert not seen.get("batch_name"), seen
        return seen["batch_state"] == "COMPLETED"

    wait_until(settled, "its job has been seen to end")
    quiet(calls, 4 * INTERVAL_S)


def test_one_a_cycle(calls, batch, cluster):
    """For two studies of 20 runs as for one of one run, with a launcher that is killed."""
    studies = ("mult", "add")
    flow, session = batch(studies=studies)

    def submitted():
        return len(cluster.jobs("PENDING,RUNNING"))

    runs = [session.create(f"{GATED}# 0")]
    executing(session, runs[0])
    start = len(asked(calls))
    cycles(calls, 6)
    few = asked(calls)[start:]
    runs += [session.create(f"{GATED}# {n}", study=s) for n in range(1, 21) for s in studies]
    wait_until(lambda: submitted() == 41, "all are submitted", timeout=60)
    start = len(asked(calls))
    cycles(calls, 6)
    kill_daemon(flow, "launcher:add")
    cycles(calls, 2)
    many = asked(calls)[start:]
    for found in (few, many):
        assert {call.program for call in found} == {"squeue"}, found
        # Jittered by a tenth; a launcher that comes anew adds no query of its own. A query that
        # the machine has held up comes closer to the next one, so all are counted together.
        lasted = found[-1].at - found[0].at
        assert len(found) <= lasted / (0.9 * INTERVAL_S) + 2, found
    submissions = len(calls.all("sbatch"))
    assert submissions < 10, "those that were created together are arrays"
    for number, run in enumerate(runs):
        study = "mult" if number == 0 else studies[(number - 1) % 2]
        (place(flow, run, study) / "go").touch()
    finished(session, *runs, timeout=120)
    assert len(calls.all("sbatch")) == submissions and not calls.all("scancel")


def test_slower_when_nothing_changes(calls, batch):
    """The pause grows while the queue stays as it is, and shrinks when something happens."""
    _, session = batch()
    run = session.create(FINISH, slurm_options=["hold"])
    job_of(session, run)
    cycles(calls, 5)
    at = [call.at for call in calls.all("squeue")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert gaps[-1] > 1.5 * min(gaps[:3]), gaps
