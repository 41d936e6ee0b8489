"""What machines do to workflows: pids used again, full disks, lost sockets, clocks set back."""

import subprocess

import pytest
from support import Flow


@pytest.fixture
def flow(workflow) -> Flow:
    return workflow()


@pytest.fixture
def mounted():
    """``mounted(directory, *options)`` mounts something there for the test."""
    made = []

    def mount(directory, *options):
        directory.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", *options, directory], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"to mount something needs root: {done.stderr.strip()}")
        made.append(directory)

    def unmount(directory):
        made.remove(directory)
        subprocess.run(["umount", "-l", directory], check=True)

    mount.undo = unmount
    yield mount
    for directory in reversed(made):
        unmount(directory)
