"""``motoko run`` that is told to end also ends what it has started."""

import signal

import pytest
from support import wait_until

ORCHESTRATOR = """\
import asyncio
from pathlib import Path


async def main(workflow, **params):
    Path("began").touch()
    await asyncio.Event().wait()
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=lambda number: number.name)
def test_told_to_end(workflow, number):
    flow = workflow()
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    process = flow.begin(
        "run",
        # Whoever runs the tests with nohup ignores it, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    wait_until((flow.directory / "began").exists, "the orchestrator has begun", 60)
    assert flow.state() == "ready"
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    assert "stopping what was started" in output and "Traceback" not in output
    assert flow.state() == "not running" and not flow.pids()
