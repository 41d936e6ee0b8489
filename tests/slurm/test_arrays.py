"""Runs that are alike are elements of one array: few submissions, and each run is by itself."""

import asyncio
import itertools
import json
import re

import pytest
from batch import executing, executions, failed, finished, job_of
from launching import GATE, go, place
from support import wait_until
from test_outages import faulty

from motoko.batch.commands import Commands
from motoko.batch.slurm.scheduler import SlurmScheduler
from motoko.runs.entries import DocumentedEntries
from motoko.runs.fences import fences

FINISH = "python doIt.py\n"
GATED = GATE + FINISH
SLEEP = "sleep 1000 & wait $!\n"
PLAIN = "finish: on-exit\n"


def fan(session, count, script="true", **options):
    """So many runs, created together."""
    ((runs),) = [
        session.workflow.task_managers["mult"].createTask(
            options, script=[f"{script} # {number}" for number in range(count)], code=""
        )
    ]
    return [run for run, _ in runs]


def arrays(session, runs):
    """The elements' indices, by their array."""
    found = {}
    for run in runs:
        array, _, index = job_of(session, run).partition("_")
        found.setdefault(array, []).append(int(index))
    return found


def test_a_fan(batch, cluster, calls):
    """One call of sbatch; the first run's job name is the array's, and indices count from there."""
    flow, session = batch(yaml=PLAIN)
    script = 'until [ -e go ]; do sleep 0.05; done; echo "$PWD" "$SLURM_SUBMIT_DIR" > where'
    runs = fan(session, 30, script)
    found = arrays(session, runs)
    assert list(found.values()) == [list(range(30))]
    (call,) = calls.all("sbatch")
    assert (
        "--array=0-29 " in call.arguments and f"--job-name=mult.{runs[0].id}.1-" in call.arguments
    )
    (array,) = found
    job = executing(session, runs[7])
    assert job == f"{array}_7"
    done = flow.motoko("explain", f"mult.{runs[7].id}", "--json")
    assert json.loads(done.stdout)["batch_job_id"] == job, done.stdout
    wait_until(lambda: f"{array}_29" in flow.motoko("info", "--verbose").stdout, "info shows it")
    go(flow, runs[7])
    finished(session, runs[7])
    cancelled = flow.motoko("cancel", f"mult.{runs[20].id}")
    assert cancelled.returncode == 0, cancelled.stderr
    failed(session, runs[20], "cancelled by")
    others = [run for run in runs if run not in (runs[7], runs[20])]
    for run in others:
        (place(flow, run)).joinpath("go").touch()
    finished(session, *others)
    for index, run in enumerate(runs):
        directory = place(flow, run)
        if run is runs[20]:
            assert len(executions(directory)) <= 1 and not (directory / "where").exists()
            continue
        assert executions(directory) == [f"{array}_{index}"]
        assert (directory / "where").read_text() == f"{directory} {directory}\n"
        assert (directory / f"slurm-{array}_{index}.out").exists()
    assert not list(place(flow, runs[0]).parent.glob("slurm-*")), "they are beside their runs"
    assert len(calls.all("sbatch")) == 1


def test_who_is_alike(batch, cluster, calls):
    """Other options are another array; whoever wants an output file of his own is in none."""
    flow, session = batch(yaml=PLAIN)
    runs = {
        "usual": fan(session, 3, "true # usual"),
        "time": fan(session, 3, "true # time", slurm_options=["time=7"]),
        "output": fan(session, 2, "echo out # own", slurm_options=["output=own-%j.txt"]),
    }
    finished(session, *itertools.chain(*runs.values()))
    for name in ("usual", "time"):
        assert list(arrays(session, runs[name]).values()) == [[0, 1, 2]], name
    for run in runs["output"]:
        job = job_of(session, run)
        assert job.isdigit() and (place(flow, run) / f"own-{job}.txt").read_text() == "out\n"
    assert len(calls.all("sbatch")) == 4


def test_none_if_so_wished(batch, calls):
    _, session = batch(yaml=PLAIN, settings="arrays: false")
    runs = fan(session, 3)
    finished(session, *runs)
    assert all(job_of(session, run).isdigit() for run in runs)
    assert len(calls.all("sbatch")) == 3 and not calls.all("scontrol")


class TestEnds:
    def test_one_by_one(self, batch, cluster):
        """Each element ends in its own way."""
        flow, session = batch()
        (flow.directory / ".wf" / "channel").mkdir(mode=0o700, exist_ok=True)
        scripts = {
            "held": FINISH,
            "dropped": FINISH,
            "exit": "exit 3",
            "again": f"[ -e again ] || {{ touch again; exit 5; }}\n{FINISH}",
            "killed": SLEEP,
            "late": SLEEP,
            "requeued": f"[ -e go ] || {SLEEP}{FINISH}",
            "good": FINISH,
        }
        retried = ("exit", "again")
        options = {"slurm_options": ["hold", "requeue"]}
        runs = {
            name: session.create(f"# {name}\n{script}", retries=int(name in retried), **options)
            for name, script in scripts.items()
        }
        assert [len(found) for found in arrays(session, runs.values()).values()] == [8]
        jobs = {name: job_of(session, run) for name, run in runs.items()}
        cluster.run("scancel", jobs["dropped"])
        seen = failed(session, runs["dropped"], "CANCELLED")
        assert (seen["batch_state"], seen["attempt"]) == ("CANCELLED", 1), seen

        def held():
            return "JobHeldUser" in flow.motoko("explain", f"mult.{runs['held'].id}").stdout

        wait_until(held, "explain says that it is held")
        for name in scripts:
            if name not in ("held", "dropped"):
                cluster.run("scontrol", "release", jobs[name])
        for name in ("killed", "late", "requeued"):
            assert executing(session, runs[name]) == jobs[name]
        cluster.run("scancel", jobs["killed"])
        cluster.expire(jobs["late"])
        go(flow, runs["requeued"])
        cluster.requeue(jobs["requeued"])
        failed(session, runs["killed"], "CANCELLED")
        finished(session, runs["good"], runs["requeued"])
        assert runs["requeued"].attempt == 2
        assert executions(place(flow, runs["requeued"])) == [jobs["requeued"]] * 2
        # Their next attempts are held as well.
        for name in retried:

            def anew(name=name):
                return (job := job_of(session, runs[name], 2)) != jobs[name] and job

            second = wait_until(anew, f"{name} has another job")
            cluster.run("scontrol", "release", second)
        finished(session, runs["again"])
        failed(session, runs["exit"], "exit code 3")
        assert executions(place(flow, runs["again"])) == [jobs["again"], second]
        assert failed(session, runs["late"], "TIMEOUT", timeout=90)["batch_state"] == "TIMEOUT"
        assert cluster.job(jobs["held"])["state"] == "PENDING", "it waits as before"
        cluster.run("scontrol", "release", jobs["held"])
        finished(session, runs["held"])

    def test_a_node_fails(self, batch, cluster):
        """Those of other nodes are not disturbed."""
        flow, session = batch(yaml=PLAIN)
        (flow.directory / ".wf" / "channel").mkdir(mode=0o700, exist_ok=True)
        runs = fan(session, 3, "until [ -e go ]; do sleep 0.05; done", slurm_options=["exclusive"])
        jobs = [executing(session, run) for run in runs]
        assert jobs == [f"{jobs[0].partition('_')[0]}_{index}" for index in range(3)]
        node = cluster.job(jobs[1])["node"]
        cluster.kill_node(node)
        seen = failed(session, runs[1], "NODE_FAIL", timeout=90)
        assert (seen["batch_state"], seen["batch_nodes"]) == ("NODE_FAIL", node), seen
        assert fences(flow.directory, "mult").keys() == {(runs[1].id, 1)}
        for run in (runs[0], runs[2]):
            go(flow, run)
        finished(session, runs[0], runs[2])

    def test_refused(self, batch, calls):
        """With sbatch's words, by two calls whatever the number."""
        _, session = batch(yaml=f"{PLAIN}retries: 2\n")
        runs = fan(session, 5, slurm_options=["partition=moon"])
        for run in runs:
            assert failed(session, run, "invalid partition")["attempt"] == 1
        assert len(calls.all("sbatch")) == 2
        good = fan(session, 2, "true # good")
        finished(session, *good)
        assert len(arrays(session, good)) == 1

    def test_all_of_it(self, batch, cluster):
        """The array is cancelled: each of its runs has failed for that."""
        flow, session = batch(yaml=f"{PLAIN}retries: 2\n")
        runs = fan(session, 4, SLEEP, slurm_options=["exclusive"])  # one waits
        jobs = [executing(session, run) for run in runs[:3]]
        last = job_of(session, runs[3])
        cluster.run("scancel", last.partition("_")[0])
        for run in runs:
            assert failed(session, run, "CANCELLED")["attempt"] == 1
        assert executions(place(flow, runs[3])) == [] and len({*jobs, last}) == 4

    def test_by_the_name_of_one(self, batch, cluster):
        """Whoever knows no id, since the answer was lost, cancels no more than one."""
        _, session = batch(yaml=PLAIN)
        runs = fan(session, 3, slurm_options=["hold"])
        jobs = [job_of(session, run) for run in runs]
        names = [DocumentedEntries(run.entries)["batch_name"] for run in runs]
        assert len(set(names)) == 3
        asyncio.run(SlurmScheduler(Commands()).cancel([], names=[names[1]]))
        failed(session, runs[1], "CANCELLED")
        assert jobs[1] not in [job["id"] for job in cluster.jobs()], "Slurm forgets it at once"
        assert [cluster.job(job)["state"] for job in jobs[::2]] == ["PENDING"] * 2
        cluster.run("scontrol", "release", jobs[0])
        cluster.run("scontrol", "release", jobs[2])
        finished(session, runs[0], runs[2])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_launcher_killed_at_sbatch(batch, cluster, tmp_path, monkeypatch, moment):
    """The elements are found again by their names, or submitted as an array once more."""
    submit = '"$TRUE" "$@" > "$0.first"\n' if moment == "after" else ""
    done = faulty(tmp_path, monkeypatch, "sbatch", f"{submit}kill -9 $PPID")
    flow, session = batch(yaml=PLAIN)
    runs = fan(session, 6, "sleep 0.1")
    finished(session, *runs)
    assert flow.daemons()["launcher:mult"]["restarts"] == 1 and done.exists()
    ((array, indices),) = arrays(session, runs).items()
    assert indices == list(range(6))
    if moment == "after":
        assert array == (done.parent / "sbatch.first").read_text().strip()
    for index, run in enumerate(runs):
        assert executions(place(flow, run)) == [f"{array}_{index}"] and run["attempt"] == 1
    names = {job["id"]: job["name"] for job in cluster.jobs()}
    token = names[f"{array}_0"].rpartition("-")[2]
    assert sum(name.endswith(token) for name in names.values()) == len(runs), names


class TestLimits:
    @pytest.fixture
    def small(self, cluster):
        """A controller that takes indices of 0 to 6 only."""
        before = cluster.more
        cluster.reconfigure(more=f"{before}MaxArraySize=7\n")
        yield cluster
        cluster.reconfigure(more=before)

    def test_larger_than_an_array(self, batch, small, calls):
        _, session = batch(yaml=PLAIN)
        runs = fan(session, 20)
        finished(session, *runs)
        assert sorted(map(len, arrays(session, runs).values())) == [6, 7, 7]
        found = [re.search(r"--array=(\S+)", call.arguments) for call in calls.all("sbatch")]
        assert [match and match[1] for match in found] == ["0-6", "0-6", "0-5"]
        assert len(calls.all("scontrol")) == 1, "it has said so once"

    def test_more_than_the_user_may_submit(self, batch, tmp_path, monkeypatch):
        """Fewer at a time, until they are taken."""
        refused = (
            'case "$*" in *--array=0-1[0-9]*|*--array=0-[6-9]*)\n'
            'echo "sbatch: error: AssocMaxSubmitJobLimit" >&2; exit 1;; esac\n'
        )
        done = faulty(tmp_path, monkeypatch, "sbatch", "")
        path = done.with_name("sbatch")
        path.write_text(path.read_text().replace('[ -e "$0.done" ]', f"{refused}true"))
        flow, session = batch(yaml=PLAIN)
        runs = fan(session, 20)
        finished(session, *runs)
        assert max(map(len, arrays(session, runs).values())) <= 6
        assert "fewer are tried" in flow.log("launcher:mult")

    @pytest.mark.parametrize("pack", ["", "pack: 3\n"])
    def test_as_many_as_the_user_may_submit(self, batch, tmp_path, monkeypatch, pack):
        """The limit, of 20 jobs in the queue, is learned from the first refusals."""
        refusing = (
            'last=$(echo "$*" | sed -n "s/.*--array=0-\\([0-9]*\\) .*/\\1/p")\n'
            "if [ $(($(squeue -hr -t PD,R,CG | wc -l) + ${last:-0} + 1)) -gt 20 ]; then\n"
            'echo >> "$0.refused"; echo "sbatch: error: AssocMaxSubmitJobLimit" >&2; exit 1; fi\n'
            'echo >> "$0.taken"\n'
        )
        path = faulty(tmp_path, monkeypatch, "sbatch", "").with_name("sbatch")
        path.write_text(path.read_text().replace('[ -e "$0.done" ]', f"{refusing}true"))
        _, session = batch(yaml=f"{PLAIN}{pack}")
        runs = fan(session, 150, "sleep 1")
        finished(session, *runs, timeout=170)
        taken, refused = (
            len(path.with_name(f"sbatch.{what}").read_text()) for what in ("taken", "refused")
        )
        print(f"{pack or 'no packs'}: {taken} sbatch taken, {refused} refused")
        assert refused <= 9
