"""BlackDynamite's launcher and Motoko's, in one study: never both start a run."""

import os
import subprocess

from digging import CAN_YOU_DIG_IT, dig, execute, finished
from support import wait_until

# Each execution leaves a line, and waits until the test opens the gate.
LAUNCH = """\
echo "$BLACKDYNAMITE_RUN_ID" >> ../../../executed
until [ -e ../../../go ]; do sleep 0.05; done
python doIt.py
"""


def test_never_both_start_a_run(flow):
    (flow.directory / "example" / "launch.sh").write_text(LAUNCH)
    flow.supervise()
    refused = execute(flow, CAN_YOU_DIG_IT, "runs", "launch")
    assert "`motoko stop launcher:example` first" in refused.stderr, refused

    assert flow.motoko("stop", "launcher:example").returncode == 0
    dig(flow, "jobs", "create")
    dig(flow, "runs", "create", "--run_name", "dug")
    executed = flow.directory / "executed"
    with subprocess.Popen(
        [CAN_YOU_DIG_IT, "runs", "launch"],
        cwd=flow.directory / "example",
        env={**os.environ, "PATH": f"{CAN_YOU_DIG_IT.parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as other:
        wait_until(executed.exists, "BlackDynamite executes the first run")
        assert flow.motoko("start", "launcher:example").returncode == 0
        log = wait_until(
            lambda: (text := flow.log("launcher:example")).count("beside it") and text,
            "ours waits",
        )
        assert f"(pid {other.pid}) of study example is at work" in log
        (flow.directory / "go").touch()
        assert other.wait(60) == 0
    finished(flow, 3)
    assert executed.read_text().split() == ["1", "2", "3"]
