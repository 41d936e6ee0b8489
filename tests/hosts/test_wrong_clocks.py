"""The head's own clock is off by an hour: time limits go by that of the file system."""

import contextlib

import pytest
from slurm_programs import Unavailable

# Computes until it is told to end, and says so.
GATED = "touch begun; until [ -e go ]; do sleep 0.1; done; python doIt.py"


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_time_limits(batch, lab, slurm, seconds):
    with contextlib.ExitStack() as stack:
        try:
            lab.shift_clock(lab.head, seconds)
        except Unavailable as error:
            pytest.skip(str(error))
        stack.callback(lab.shift_clock, lab.head, 0)
        flow, session = batch()
        (long,) = session.create(GATED, timeout="30m")
        (short,) = session.create(GATED, timeout="1s", run_name="short")
        entries = session.until([short], timeout=60, ended_state="FAILED")
        assert "time limit of 1 s" in entries[short]["failure_reason"]
        assert entries[long]["ended_state"] is None
        (flow.place(long) / "go").touch()
        session.finished([long])
