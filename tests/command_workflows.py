"""`clean`, `retry`, `kill`, `info`, `launcher` and `orchestrator`, on real workflows."""

import contextlib
import os
import signal

STUDIES = ("add", "mult")


@contextlib.contextmanager
def following(flow, *arguments):
    """The output of a command that goes on until it is interrupted."""
    process = flow.begin(*arguments, start_new_session=True)
    try:
        yield process.stdout
    finally:
        os.killpg(process.pid, signal.SIGKILL)
