"""When pending changes are saved, and what becomes of conflicts: CONTRACT.md, "Saving"."""

import pytest
from savers import DEADLINE_S, Other, write
from support import interrupted_after, supervised

from motoko import Workflow


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The workflow of this module, supervised without launchers."""
    place = tmp_path_factory.mktemp("saving")
    yield from supervised(place, write(place / "wf"), "--no-launchers")


@pytest.fixture(scope="module")
def other(flow):
    other = Other(flow.path)
    yield other
    other.close()


@pytest.fixture(autouse=True)
def deadline():
    """What hangs is interrupted."""
    yield from interrupted_after(DEADLINE_S)


@pytest.fixture
def wf(flow, request):
    """The workflow in this process, with a run_name of the test's own."""
    workflow = Workflow(flow.path)
    workflow.run_name = request.node.name
    yield workflow
    workflow.close()


@pytest.fixture
def run(wf):
    """A saved run."""
    ((run, _),) = wf.mult.createTask(x=1.0)
    return run
