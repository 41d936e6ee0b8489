"""`clean`, `retry`, `kill`, `info`, `launcher` and `orchestrator`, on real workflows."""

import pytest
from support import Flow


@pytest.fixture
def flow(workflow) -> Flow:
    """A workflow of one study that nobody supervises."""
    return workflow()
