"""Daemons come back whatever state the workflow's files are in, and changed files are noticed."""

import os
import signal

import pytest
from runs import states
from support import Flow, kill9, wait_until

from motoko.config import load
from motoko.control.daemon_records import living_daemons, supervisor_identity
from motoko.layout import locate

ALL = ("zeo:mult", "bus", "watcher", "launcher:mult")
PAUSE = "counts after `motoko kill --wait` and `motoko supervise`"


@pytest.fixture
def flow(workflow) -> Flow:
    flow = workflow()
    flow.supervise()
    return flow


def pids(runtime) -> dict[str, int]:
    """The daemons that live, told without motoko.yaml."""
    return {daemon.name: daemon.identity.pid for daemon in living_daemons(runtime)}


def supervise(flow) -> str:
    done = flow.motoko("supervise")
    assert done.returncode == 0, done.stderr
    return done.stdout


def append(flow, text) -> None:
    flow.path.write_text(f"{flow.path.read_text()}{text}\n")


@pytest.mark.parametrize("gone", [False, True], ids=["half saved", "gone"])
def test_daemons_come_back_without_the_files(flow, gone):
    text, runtime = flow.path.read_text(), locate(load(flow.path))
    script = flow.directory / "mult" / "doIt.py"
    program = script.read_text()
    before = pids(runtime)
    script.unlink()
    if gone:
        flow.path.unlink()
    else:
        flow.path.write_text(text[: len(text) // 2] + "\n\t: [")
    try:
        for name in ALL:
            kill9(before[name])
        wait_until(
            lambda: all(pids(runtime).get(name, before[name]) != before[name] for name in ALL),
            "all of them are back",
        )
        wait_until(lambda: flow.motoko("ps").returncode == 0, "all of them are ready")
        done = flow.motoko("run", "--run_name", "a")
        assert done.returncode == 2 and "motoko.yaml" in done.stderr and "hint: " in done.stderr
        assert "Traceback" not in done.stderr
        for command in ("ps", "logs"):  # to look is possible
            done = flow.motoko(command)
            assert done.returncode == 0 and "launcher:mult" in done.stdout, done.stderr
            assert "using the files as the supervisor last read them" in done.stderr
    finally:
        flow.path.write_text(text)
    done = flow.motoko("orchestrator", "start", "--run_name", "a")
    assert done.returncode == 2 and "mult/doIt.py: there is no such file" in done.stderr
    script.write_text(program)
    supervise(flow)
    done = flow.motoko("orchestrator", "start", "--run_name", "a")
    assert done.returncode == 0, done.stderr
    assert states(flow) == {1: "FINISHED", 2: "FINISHED"}


def test_a_broken_file_keeps_nobody_from_stopping(flow):
    text, runtime = flow.path.read_text(), locate(load(flow.path))
    flow.path.write_text("task_managers: [\n")
    assert flow.motoko("kill", "--reset").returncode == 2
    done = flow.motoko("kill")
    assert done.returncode == 0 and "not valid YAML" in done.stderr, done.stderr
    assert pids(runtime) == {}
    # Then nobody has read it.
    assert flow.motoko("ps").returncode == flow.motoko("kill").returncode == 2
    flow.path.write_text(text)


def test_a_detached_orchestrator_ends_with_the_error(flow):
    """A detached orchestrator reads the present files, and ends with their error."""
    (flow.directory / "orchestrator.py").write_text(
        "import asyncio\n\n\nasync def main(workflow, **params):\n    await asyncio.sleep(1000)\n"
    )
    done = flow.motoko("orchestrator", "start", "--detach", "--run_name", "a")
    assert done.returncode == 0, done.stderr
    text, pid = flow.path.read_text(), flow.pids()["orchestrator:a"]
    flow.path.write_text("task_managers: [\n")
    try:
        kill9(pid)
        wait_until(lambda: "not valid YAML" in flow.log("orchestrator:a"), "it says why")
    finally:
        flow.path.write_text(text)
    found = wait_until(
        lambda: (d := flow.daemons()["orchestrator:a"])["state"] == "ended" and d, "it has ended"
    )
    assert found["last_exit"].startswith("exited with 2: ") and "YAML" in found["last_exit"]


def test_a_change_counts_as_soon_as_the_daemon_is_restarted(flow):
    assert "changed" not in supervise(flow)
    append(flow, "slots: 3\nmine: 1")
    said = supervise(flow)
    assert "  slots: counts after `motoko restart launcher:mult`" in said
    assert "  mine: counts for orchestrators and commands that are started from now on" in said
    said = supervise(flow)  # it is told as long as it is so
    assert "  slots: counts after" in said and "mine" not in said
    assert flow.motoko("restart", "launcher:mult").returncode == 0
    assert "changed" not in supervise(flow)
    assert "ready: 3 slots" in flow.log("launcher:mult")


def test_restart_takes_the_files_over(flow):
    append(flow, "supervisor: {nice: {bus: 3}}")
    done = flow.motoko("restart", "bus")
    assert done.returncode == 0, done.stderr
    assert os.getpriority(os.PRIO_PROCESS, flow.pids()["bus"]) == 3
    assert "changed" not in supervise(flow)


def test_what_only_another_supervisor_can_take(flow, workflow):
    append(flow, "supervisor: {attempts: 9}")
    for _ in range(2):
        assert f"  supervisor.attempts: {PAUSE}" in supervise(flow)
    append(flow, "runtime_dir: run")
    said = supervise(flow)
    assert "the changes count after" in said and "runtime_dir" in said
    done = flow.motoko("restart", "bus")
    assert done.returncode == 0 and "runtime_dir" in done.stdout
    flow.path.write_text(flow.path.read_text().replace("runtime_dir: run\n", ""))
    assert flow.motoko("kill").returncode == 0
    assert not (flow.directory / ".wf" / "config.json").exists()
    flow.supervise()
    assert "changed" not in supervise(flow)


def test_a_killed_supervisor_s_daemons_have_what_they_have_read(flow):
    """The next supervisor takes the files as they are, and knows who has not."""
    identity = supervisor_identity(load(flow.path))
    identity.signal(signal.SIGKILL)
    wait_until(lambda: not identity.alive, "the supervisor is dead")
    append(flow, "slots: 3")
    flow.supervise()
    assert "  slots: counts after `motoko restart launcher:mult`" in supervise(flow)
    assert flow.motoko("restart", "launcher:mult").returncode == 0
    assert "changed" not in supervise(flow)
