"""A workflow is one directory: copied, moved, restored, and on a host of another name."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from runs import all_are, make_runs, release, runs_of, started, states, with_waiting_runs
from support import Flow, motoko_command, processes_in, wait_until

from motoko.host.directories import DirectoryIdentity

AWAITING = """\
async def main(workflow, **params):
    await workflow.mult.createTask(x=[1.0, 2.0])
    workflow.finished = True
"""
# It has connected to its database before it waits.
CONNECTED = """\
import pathlib, time
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
with open("../../started", "a") as file:
    file.write(f"{run.id}\\n")
while not pathlib.Path("../../go").exists():
    time.sleep(0.05)
run.finish()
"""


@pytest.fixture
def running(workflow):
    """A supervised workflow with two runs that are executed until they are released."""
    flow = workflow()
    with_waiting_runs(flow)
    flow.supervise()
    make_runs(flow, {}, {})
    wait_until(lambda: sorted(started(flow)) == [1, 2], "the runs are started")
    return flow


@pytest.fixture
def elsewhere(tmp_path):
    """Workflows that come to be by copying or moving; they are stopped in the end."""
    flows = []

    def at(name: str) -> Flow:
        flows.append(Flow(tmp_path / name, ("mult",)))
        return flows[-1]

    yield at
    for flow in flows:
        if flow.path.exists():
            assert flow.motoko("kill", "--now").returncode == 0


def copy(flow, to):
    subprocess.run(["cp", "-a", flow.directory, to], check=True)


def test_a_copy_of_a_supervised_workflow(running, elsewhere):
    before, paths = running.pids(), {n: run["run_path"] for n, run in runs_of(running).items()}
    other = elsewhere("copy")
    copy(running, other.directory)
    # Nothing of the original's is shown, used or stopped.
    assert other.ps()["supervisor"]["state"] == "not running" and other.ps()["daemons"] == []
    assert other.motoko("kill").stdout == "nothing is running\n"
    here = DirectoryIdentity.of(other.directory).to_dict()
    answer = running.ask("status", workflow=here)
    assert answer["is_other"] and str(running.directory) in answer["error"]
    assert f"directory  {other.directory}" in other.motoko("explain", "mult.1").stdout
    assert f"is a copy of {running.directory}: its workflow starts afresh" in other.supervise()
    assert not {*other.pids().values()} & {*before.values()}
    wait_until(lambda: set(states(other).values()) == {"FAILED"}, "its runs are lost")
    for number, run in runs_of(other).items():
        assert "its directory was copied" in run["failure_reason"]
        assert run["run_path"] == str(other.directory / "mult" / "BD-mult-runs" / f"run-{number}")
    assert other.motoko("clean", "--delete", "--yes").stdout == "mult: deleted 2 runs\n"
    assert other.motoko("kill").returncode == 0
    # A copy of a copy that has stopped, and nothing is known of the first.
    third = elsewhere("third")
    copy(other, third.directory)
    assert f"is a copy of {other.directory}" in third.supervise()
    assert other.ps()["supervisor"]["state"] == "not running"
    assert running.pids() == before
    assert {n: run["run_path"] for n, run in runs_of(running).items()} == paths
    assert all(Path(path, ".motoko", "attempt-1").exists() for path in paths.values())
    release(running)
    all_are(running, "FINISHED")
    assert sorted(started(running)) == [1, 2]


def test_moved_under_its_supervisor(workflow, elsewhere):
    flow = workflow()
    (flow.directory / "mult" / "doIt.py").write_text(CONNECTED)
    (flow.directory / "orchestrator.py").write_text(AWAITING)
    flow.supervise()
    waiting = flow.begin("orchestrator", "start", "--run_name", "r")
    wait_until(lambda: sorted(started(flow)) == [1, 2], "the runs are started")
    old, moved = flow.directory, elsewhere("moved")
    os.rename(old, moved.directory)  # noqa: PTH104
    said = moved.supervise()  # at once, when nobody may have noticed yet
    assert f"was moved (from {old}): its workflow starts afresh" in said
    assert waiting.wait(timeout=20) == 4, "whoever waits is told"
    # Another workflow takes its place, and disturbs nobody.
    other = workflow(name="wf")
    other.supervise()
    assert all(daemon["restarts"] == 0 for daemon in moved.daemons().values())
    release(moved)
    all_are(moved, "FINISHED")
    assert sorted(started(moved)) == [1, 2], "the runs went on"
    for number, run in runs_of(moved).items():
        assert run["run_path"] == str(moved.directory / "mult" / "BD-mult-runs" / f"run-{number}")
    assert other.state() == "ready" and states(other) == {}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_a_link_and_a_clone(running, elsewhere, tmp_path):
    """Through a link it is the same workflow; a clone in which all is committed is another."""
    (tmp_path / "link").symlink_to(running.directory)
    link = Flow(tmp_path / "link", running.studies)
    assert link.pids() == running.pids()
    assert "already running" in link.supervise()
    clone = elsewhere("clone")
    author = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    for words in (("init", "-q"), ("add", "-f", "."), (*author, "commit", "-qm", "all")):
        subprocess.run(["git", *words], cwd=running.directory, check=True)
    subprocess.run(["git", "clone", "-q", running.directory, clone.directory], check=True)
    assert clone.ps()["supervisor"]["state"] == "not running"
    assert clone.motoko("kill").stdout == "nothing is running\n"
    assert f"is a copy of {running.directory}: its workflow starts afresh" in clone.supervise()
    wait_until(lambda: set(states(clone).values()) == {"FAILED"}, "its runs are lost")
    release(link)
    all_are(running, "FINISHED")
    assert sorted(started(running)) == [1, 2]
    assert "stopped supervisor" in link.motoko("kill").stdout


def test_deleted_and_restored(running, tmp_path):
    with tarfile.open(tmp_path / "backup.tar", "w") as archive:
        archive.add(running.directory, running.directory.name)
    shutil.rmtree(running.directory)
    wait_until(lambda: not list(processes_in(running.directory)), "all has ended, runs too")
    with tarfile.open(tmp_path / "backup.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    assert running.ps()["supervisor"]["state"] == "not running"
    running.supervise()
    # As after a reboot: nothing of what was executed then is there any more.
    all_are(running, "FAILED")


def test_lock_removed(running):
    supervisor = running.ps()["supervisor"]["pid"]
    shutil.rmtree(running.directory / ".wf" / "locks")
    wait_until(lambda: not Path(f"/proc/{supervisor}").exists(), "its lock has gone, and so has it")
    assert "locks/supervisor was removed: stopping" in running.log("supervisor")
    assert "starts afresh" not in running.supervise()
    release(running)
    all_are(running, "FINISHED")


@pytest.fixture
def short():
    """A directory with a short path, which sockets need."""
    with tempfile.TemporaryDirectory(prefix="mt-", dir="/tmp") as path:
        yield Path(path)


def test_the_same_runtime_dir(short, workflow):
    flows = [workflow(name="one"), workflow(name="two")]
    for flow in flows:
        flow.path.write_text(flow.path.read_text() + f"runtime_dir: {short / 'run'}\n")
        flow.supervise("--no-launchers")
    one, two = flows
    assert not {*one.pids().values()} & {*two.pids().values()}
    assert two.motoko("kill").returncode == 0
    assert two.ps()["supervisor"]["state"] == "not running" and one.state() == "ready"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a host another name")
def test_a_host_with_another_name(running):
    def renamed(*arguments):
        command = ["unshare", "-u", "sh", "-c", 'hostname another-name && exec "$@"', "sh"]
        command += motoko_command(*arguments)
        options = {"capture_output": True, "text": True, "timeout": 60, "check": False}
        return subprocess.run(command, cwd=running.directory, **options)

    if renamed("--version").returncode:
        pytest.skip("no unshare here")
    assert "zeo:mult" in renamed("ps").stdout
    assert "it runs, since" in renamed("explain", "mult.1").stdout
    assert "already running" in renamed("supervise", "--detach").stdout
    os.kill(running.ps()["supervisor"]["pid"], 9)
    assert "adopted" in renamed("supervise", "--detach").stdout
    release(running)
    all_are(running, "FINISHED")
    assert "stopped supervisor" in renamed("kill").stdout
