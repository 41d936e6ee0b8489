"""BlackDynamite's own commands in a copy of a study: they never reach the original's server."""

import subprocess

from digging import CAN_YOU_DIG_IT, dig, execute
from support import Flow


def test_a_copy_that_nobody_supervises(flow):
    flow.supervise("--no-launchers")
    copy = Flow(flow.directory.parent / "copy", flow.studies)
    subprocess.run(["cp", "-a", flow.directory, copy.directory], check=True)
    led = execute(copy, CAN_YOU_DIG_IT, "jobs", "create", "--yes")
    assert f"was copied from {flow.directory}" in led.stderr, led
    try:
        assert "Inserted 3 new jobs" in dig(copy, "jobs", "create")
        assert "Inserted 3 new jobs" in dig(flow, "jobs", "create"), "the original has had none"
    finally:
        assert copy.motoko("kill").returncode == 0
