"""`motoko supervise`, `ps` and `kill` with real daemons."""

import pytest
import support
from supervised import STUDIES
from support import Flow


@pytest.fixture
def two(workflow) -> Flow:
    """A workflow of two studies that nobody supervises."""
    return workflow(studies=STUDIES)


@pytest.fixture
def supervised(two) -> Flow:
    """The same, supervised."""
    two.supervise()
    return two


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same, for tests that leave all daemons ready."""
    place = tmp_path_factory.mktemp("supervise")
    yield from support.supervised(place, support.write_workflow(place / "wf", STUDIES))
