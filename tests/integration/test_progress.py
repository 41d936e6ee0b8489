"""What the orchestrator in the foreground shows of its progress."""

import json
import os
import pty
import subprocess

import pytest
from runs import release, with_waiting_runs
from support import motoko_command, wait_until

ORCHESTRATOR = """\
async def main(workflow, **params):
    print("not of ours", flush=True)
    await workflow.mult.createTask(x=[1.0, 2.0])
    await workflow.mult.createTask(x=9.0)
    workflow.finished = True
"""


@pytest.fixture
def flow(workflow):
    flow = workflow()
    with_waiting_runs(flow)
    with open(flow.path, "a") as file:
        file.write("slots: 2\n")
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    flow.supervise()
    return flow


def test_json(flow):
    process = flow.begin("orchestrator", "start", "-n", "a", "--json")
    lines = []

    def seen(**counts):
        """Read on until there is an object with these counts."""
        for line in process.stdout:
            lines.append(line)
            if line.startswith("{"):
                found = json.loads(line)
                if all(found["studies"]["mult"][k] == v for k, v in counts.items()):
                    return found
        raise AssertionError(lines)

    found = seen(running=2, finished=0)
    assert found["run_name"] == "a"
    (waiting,) = found["awaits"]
    assert waiting["who"] == "main" and waiting["what"] == "RunList(mult.1, mult.2)"
    release(flow)
    last = seen(running=0, created=0, finished=3)
    assert process.wait(20) == 0
    assert "not of ours\n" in lines and last["awaits"] == []


def test_quiet_where_nobody_looks(flow):
    release(flow)
    for options in ([], ["--quiet"]):
        done = flow.motoko("orchestrator", "start", "-n", "a", *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "not of ours\n", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_on_a_terminal(flow, quiet):
    mine, theirs = pty.openpty()
    options = ["--quiet"] if quiet else []
    process = subprocess.Popen(
        motoko_command("orchestrator", "start", "-n", "a", *options),
        cwd=flow.directory,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
    )
    flow.started.append(process)
    os.close(theirs)
    os.set_blocking(mine, False)
    shown = bytearray()

    def look(words):
        try:
            shown.extend(os.read(mine, 1 << 16))
        except BlockingIOError:
            return words in shown
        except OSError:
            return True  # the terminal is closed
        return words in shown

    try:
        if not quiet:
            wait_until(lambda: look(b"main has waited"), "what main waits for is shown")
            wait_until(lambda: look(b"running: mult.1 (x=1.0)"), "running runs are named")
            assert b"RunList(mult.1, mult.2)" in shown and b"running" in shown
            assert b"rate" in shown and "▒".encode() in shown, "a bar of what runs"
        release(flow)
        wait_until(lambda: look(b"never said") or process.poll() is not None, "it has ended")
        assert process.wait(20) == 0
        assert (b"has waited" in shown) != quiet and (b"finished" in shown) != quiet
    finally:
        os.close(mine)
