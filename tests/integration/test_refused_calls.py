"""A file system without locks, a kernel without pidfds: one clear line, and nothing is changed."""

import subprocess
import sys
from pathlib import Path

import pytest

REFUSING = Path(__file__).parents[1] / "refused_calls.py"
NO_LOCKS = ("flock", "ENOLCK")
NO_PIDFD = ("pidfd_open", "ENOSYS")


def refused(call, *arguments, cwd=None):
    """A command's result, where the kernel refuses a call."""
    return subprocess.run(
        [sys.executable, REFUSING, *call, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def contents(directory):
    """The files below a directory, with what is in them."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def flow(workflow):
    if refused(NO_LOCKS, "true").returncode:
        pytest.skip("this machine does not let us refuse calls (seccomp)")
    return workflow()


@pytest.mark.parametrize(
    "call, words, refusing",
    [
        (NO_LOCKS, "does not support flock", ("create --validated", "supervise", "run")),
        (NO_PIDFD, "needs Linux 5.3 or newer", ("supervise --detach", "orchestrator start -n r")),
    ],
)
def test_said_at_once(flow, call, words, refusing):
    motoko = (sys.executable, "-m", "motoko")
    before = contents(flow.directory)
    for command in refusing:
        done = refused(call, *motoko, *command.split(), cwd=flow.directory)
        assert words in done.stderr and "Traceback" not in done.stderr, (command, done)
        assert done.returncode in (1, 2), (command, done)
    assert contents(flow.directory) == before
    for command in ("ps", "info", "kill"):
        done = refused(call, *motoko, command, cwd=flow.directory)
        assert done.stderr == "", (command, done)
