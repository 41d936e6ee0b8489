"""CONTRACT.md, "Semantics, settled": firing, failures, names, and who may execute.

In most of these tests no launcher runs: a second process, the puppet, plays the runs.
"""

import pytest
from supervised_puppets import (
    DEADLINE_S,
    Puppet,
    opened,
    write,
)
from support import interrupted_after, supervised


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The workflow of most tests, supervised without launchers."""
    place = tmp_path_factory.mktemp("semantics")
    yield from supervised(place, write(place / "wf"), "--no-launchers")


@pytest.fixture(scope="module")
def puppet(flow):
    puppet = Puppet(flow.path)
    yield puppet
    puppet.close()


@pytest.fixture(autouse=True)
def deadline():
    """What hangs is interrupted."""
    yield from interrupted_after(DEADLINE_S)


@pytest.fixture
def wf(flow, request):
    """The workflow in this process, with a run_name of the test's own."""
    yield from opened(flow, request)
