"""How `motoko run` ends: stopped elsewhere, by a failure, interrupted early, beside others."""

import contextlib
import os
import pty
import re
import signal
import sys
import time

import pytest
from runs import release, started, states, with_waiting_runs
from support import wait_until

CREATES = """\
import asyncio

async def main(workflow, **params):
    runs = workflow.mult.createTask(x=[1.0, 2.0, 3.0])
    {then}
"""


def orchestrator(flow, then):
    (flow.directory / "orchestrator.py").write_text(CREATES.format(then=then))


class Output:
    """What a process has printed so far."""

    def __init__(self, process):
        os.set_blocking(process.stdout.fileno(), False)
        self.text, self._process = "", process

    def has(self, words):
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._process.stdout.fileno(), 1 << 16):
                self.text += chunk.decode()
        return words in self.text

    def end(self):
        code = self._process.wait(60)
        self.has("")
        return code


@pytest.mark.parametrize("then", ["await runs", "await asyncio.sleep(600)", "pass"])
def test_stopped_elsewhere(workflow, then):
    flow = workflow()
    with_waiting_runs(flow)
    orchestrator(flow, then)
    process = flow.begin("run")
    output = Output(process)
    wait_until(lambda: started(flow), "a run is started", 60)
    if then == "pass":
        words = "the orchestrator has ended; waiting for 3 runs to end: mult.1, mult.2, mult.3"
        wait_until(lambda: output.has(words), "it says what it waits for")
    assert flow.motoko("kill").returncode == 0
    assert output.end() == 4, output.text
    assert "the workflow was stopped while " in output.text and "Traceback" not in output.text
    assert ", by `motoko kill` of " in output.text
    if then == "pass":  # called again, it goes on
        again = Output(flow.begin("run"))
        wait_until(lambda: again.has("interrupted before, executed again: "), "it says so", 60)
        release(flow)
        assert again.end() == 0, again.text
        assert set(states(flow).values()) == {"FINISHED"}


def test_failure_is_told_at_once(workflow):
    """Nothing more is started, and what runs gets its results."""
    flow = workflow()
    flow.path.write_text(flow.path.read_text() + "slots: 2\n")
    with_waiting_runs(flow)
    launch = flow.directory / "mult" / "launch.sh"
    launch.write_text(f'[ "$BLACKDYNAMITE_RUN_ID" = 1 ] && exit 3\n{launch.read_text()}')
    orchestrator(flow, "await runs")
    process = flow.begin("run")
    output = Output(process)
    wait_until(lambda: output.has("motoko: error: run mult.1 (x="), "it is told", 60)
    wait_until(lambda: output.has("waiting for "), "and what is waited for")
    assert process.poll() is None
    release(flow)
    assert output.end() == 1, output.text
    ended = states(flow)
    assert ended[1] == "FAILED" and "FINISHED" in ended.values()
    assert "Traceback" not in output.text and flow.state() == "not running"
    # A failure that nobody awaits is one, too.
    orchestrator(flow, "pass")
    done = flow.motoko("run")
    assert done.returncode == 1 and set(states(flow).values()) == {"FAILED", "FINISHED"}
    assert re.search(
        r"1 run has failed, and nobody has awaited that .*\n  mult\.1 \(x=.*\): launch.sh",
        done.stderr,
    )
    orchestrator(flow, "await asyncio.gather(runs, return_exceptions=True)")
    assert flow.motoko("run").returncode == 0


@pytest.mark.parametrize("after", [0.2, 0.5, 0.8, 1.2])
def test_interrupted_early(workflow, tmp_path, after):
    flow = workflow()
    orchestrator(flow, "await asyncio.sleep(600)")
    process = flow.begin("run", start_new_session=True)
    time.sleep(after)  # wherever it is then
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT, 1), output
    assert flow.motoko("ps").returncode == 3 and not flow.pids(), output


def test_its_terminal_is_closed(workflow):
    flow = workflow()
    with_waiting_runs(flow)
    orchestrator(flow, "await runs")
    pid, ours = pty.fork()
    if not pid:
        os.chdir(flow.directory)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execvp(sys.executable, [sys.executable, "-P", "-m", "motoko", "run"])
    wait_until(lambda: started(flow), "a run is started", 60)
    os.close(ours)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) != 0
    assert flow.state() == "not running" and not flow.pids()
    assert set(states(flow).values()) == {"CREATED"}


def test_beside_others(workflow):
    flow = workflow()
    with_waiting_runs(flow)
    orchestrator(flow, "await runs")
    flow.supervise()
    process = flow.begin("run")
    output = Output(process)
    wait_until(lambda: started(flow), "a run is started", 60)
    began = time.monotonic()
    again = flow.motoko("run")
    assert again.returncode == 5 and "is running already" in again.stderr
    assert time.monotonic() - began < 10 and flow.state() == "ready"
    release(flow)
    assert output.end() == 0, output.text
    assert "left running: the supervisor (pid " in output.text and flow.state() == "ready"


def test_tasks_that_nobody_awaits(workflow):
    flow = workflow()
    flow.supervise()
    fails = "async def fails(): raise ValueError('no convergence')\n    "
    for then, said in (
        (f"{fails}asyncio.create_task(fails())\n    await asyncio.sleep(600)", "no convergence"),
        (f"{fails}workflow.kept = asyncio.create_task(fails())\n    await runs", "no convergence"),
        (
            "workflow.kept = asyncio.create_task(asyncio.Event().wait())",
            "the orchestrator's function has returned, and tasks were still at work: ",
        ),
    ):
        orchestrator(flow, then)
        done = flow.motoko("orchestrator", "start", "-n", "a")
        assert done.returncode == 1 and said in done.stderr, (then, done.stderr)
    orchestrator(flow, "workflow.finished = True\n    asyncio.create_task(asyncio.sleep(600))")
    done = flow.motoko("orchestrator", "start", "-n", "a")
    assert done.returncode == 0 and "tasks were still at work" in done.stderr
