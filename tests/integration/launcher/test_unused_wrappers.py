"""Wrappers that wait for another run end when there was none for a while."""

import psutil
import pytest
from launching import identity, supervising
from support import wait_until
from warming import executed_by, wrapper_that_waits

# Executed by each Python that has this file's directory on PYTHONPATH.
SOON = """\
import sys

if "motoko.workers.launcher" in sys.orig_argv:
    from motoko.workers.launcher import local_executor

    local_executor.UNUSED_S = 0.5
"""


@pytest.fixture
def supervised(workflow, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(SOON)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with supervising(workflow) as make:
        yield make()


def waiting_wrappers(flow):
    """How many processes the forkers of wrappers have."""
    launcher = psutil.Process(identity(flow, "launcher:mult").pid)
    return sum(len(forker.children(recursive=True)) for forker in launcher.children())


def test_those_of_warm_runs(supervised):
    flow, session = supervised
    first, standby = wrapper_that_waits(session, flow)
    wait_until(lambda: not (first.alive or standby.alive), "both have ended")
    assert executed_by(session, flow) != first
    wait_until(lambda: waiting_wrappers(flow) == 0, "no wrapper waits")


def test_those_of_others(supervised):
    flow, session = supervised
    for _ in range(2):
        runs = [session.create("touch began\n" + "sleep 0.2 # " + name) for name in "ab"]
        assert all(failed is not None for failed in session.ends(*runs))  # none called finish
        wait_until(lambda: waiting_wrappers(flow) == 0, "no wrapper waits")
