"""Several studies open in one process never mix: the cases that FACTS.md names as wrong.

All through a workflow's task managers. Job and run numbers are the same in both studies, so that
whatever reaches into the wrong one finds something there.
"""

import re

import pytest
import transaction
from study_pairs import BOTH, write
from support import supervised

from motoko import Workflow


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    place = tmp_path_factory.mktemp("two")
    yield from supervised(place, write(place / "wf"), "--no-launchers")


@pytest.fixture(params=[BOTH, BOTH[::-1]], ids="-then-".join)
def wf(flow, request):
    """The workflow, its studies opened in one order or the other, with a run in each."""
    workflow = Workflow(flow.path)
    workflow.run_name = re.sub(r"\W+", "_", request.node.name)
    for study in request.param:
        assert getattr(workflow, study).base.study.name == study
    yield workflow
    transaction.abort()
    workflow.close()


@pytest.fixture
def runs(wf):
    """One saved run, and its job, in each study."""
    pairs = {}
    for study, given in (("alpha", {"x": 1.5}), ("beta", {"name": "b"})):
        ((run, job),) = getattr(wf, study).createTask(**given)
        pairs[study] = (run, job)
    return pairs
