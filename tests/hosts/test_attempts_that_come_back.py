"""Attempts on nodes that were given up, whose cable is mended: they commit nothing, and end."""

import contextlib
from pathlib import Path

import pytest
from batch import executions
from lab_flow import wait_for

from motoko.runs.claims import read_exit

# It computes until it is told to go on, as which attempt it is, and would then be done.
SCRIPT = """\
hostname > where-$MOTOKO_ATTEMPT
sleep 1000 &
python doIt.py
code=$?
kill %1
exit $code
"""
CODE = """\
import os, time
attempt = os.environ["MOTOKO_ATTEMPT"]
run.start()
open(f"pid-{attempt}", "w").write(str(os.getpid()))
while not os.path.exists(f"go-{attempt}"):
    time.sleep(0.1)
run["by"] = int(attempt)
run.finish()
"""


def begun(flow, number, attempt):
    pid = flow.place(number) / f"pid-{attempt}"
    wait_for(pid.read_text, f"attempt {attempt} computes", 90)
    return (flow.place(number) / f"where-{attempt}").read_text().strip()


def of_run(host, place):
    """The processes of a run that live on a host."""

    def works_there(pid):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cwd").readlink().name == place.name
        return False

    return [p.command for p in host.processes() if works_there(p.identity.pid)]


@pytest.mark.parametrize("how", ["again", "requeued"])
def test_a_node_is_cut_off_and_comes_back(batch, lab, slurm, how):
    """With a dead slurmd: nobody but the relay ends what runs there."""
    flow, session = batch(yaml="retries: 1\n" if how == "again" else "")
    params = {"slurm_options": ["requeue"]} if how == "requeued" else {}
    (number,) = session.create(SCRIPT, CODE, **params)
    node = lab.hosts[begun(flow, number, 1)]
    job = session.entries()[number]["batch_job_id"]
    node.cut()
    slurm.kill(node)
    if how == "requeued":
        wait_for(lambda: slurm.jobs("PENDING"), "it is in the queue again", 60)
        slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    other = begun(flow, number, 2)
    assert other != node.name
    session.until([number], attempt=2, state="START")
    (flow.place(number) / "go-1").touch()
    assert of_run(node, flow.place(number)), "it lives, where nobody sees it"
    node.mend()
    wait_for(lambda: not of_run(node, flow.place(number)), "it has ended", 90)
    wait_for(lambda: read_exit(flow.place(number), 1) is not None, "its end is recorded")
    assert read_exit(flow.place(number), 1) != 0
    entries = session.entries()[number]
    assert (entries["state"], entries["attempt"], entries.get("by")) == ("START", 2, None)
    (flow.place(number) / "go-2").touch()
    entries = session.finished([number])[number]
    assert (entries["attempt"], entries["by"], entries["exit_code"]) == (2, 2, 0)
    assert len(executions(flow.place(number))) == 2
    explained = flow.motoko("explain", f"mult.{number}").stdout
    assert "it came back, was refused, and ended" in explained
