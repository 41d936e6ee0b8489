"""Workflows whose paths are short enough for BlackDynamite's own sockets."""

import shutil
import tempfile
from pathlib import Path

import pytest
from digging import foreign, write
from public_workflow import Side
from support import processes_in


@pytest.fixture
def flow(nothing_left):
    """It is created, and whatever the test starts in it is stopped."""
    place = Path(tempfile.gettempdir())  # the test's own
    flow = write(place / "wf")
    flow.create()
    yield flow
    assert flow.motoko("kill", "--now").returncode == 0
    assert not foreign(flow) and not list(processes_in(place))


@pytest.fixture
def sides(nothing_left):
    """Motoko 0.1.4's, and ours."""
    place = Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    both = Side.public(place / "p"), Side.ours(place / "o")
    yield both
    for side in both:
        side.remove()
    shutil.rmtree(place, ignore_errors=True)
