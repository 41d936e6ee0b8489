"""What user workflows rely on, in real workflows: what the neighbours of this file leave out.

No launcher runs in most of these tests: another thread, with a Workflow of its own, plays the runs.
"""

import pytest
import transaction
from contracts import DEADLINE_S, write
from support import interrupted_after, supervised

from motoko import Workflow


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The workflow of most tests, supervised without launchers."""
    place = tmp_path_factory.mktemp("contract")
    yield from supervised(place, write(place / "wf"), "--no-launchers")


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
    transaction.abort()
    workflow.close()
