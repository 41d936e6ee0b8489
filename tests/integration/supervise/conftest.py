"""`motoko supervise`, `ps` and `kill` with real daemons."""

import pytest
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
