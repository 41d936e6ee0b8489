"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import pytest
from puppets import DEADLINE_S, Puppet, write
from support import interrupted_after, supervised

from motoko import (
    Workflow,
)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The workflow of this module, supervised without launchers."""
    place = tmp_path_factory.mktemp("orchestrator")
    yield from supervised(place, write(place / "w f"), "--no-launchers")


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
    workflow = Workflow(flow.path)
    workflow.run_name = request.node.name
    yield workflow
    workflow.close()


@pytest.fixture
def other(flow, wf):
    """A second Workflow object, on connections of its own, in this process."""
    workflow = Workflow(flow.path)
    workflow.run_name = wf.run_name
    yield workflow
    workflow.close()
