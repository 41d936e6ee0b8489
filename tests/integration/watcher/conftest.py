"""What the watcher tells: every transition, in order, whatever becomes of runs and databases.

Another process writes; a subscriber that wants all from the beginning is compared with what was
written, or with the database's own log.
"""

import pytest
from watching import Listener, Other

# Watchers are killed one after the other: none has to wait for its next life, or is given up.
RESTARTS = "supervisor: {attempts: 1000, backoff_max: 0.5}\n"


@pytest.fixture
def flow(workflow, request):
    """Supervised without launchers; the watcher's log must show no failure of its own."""
    flow = workflow(studies=getattr(request, "param", ("mult",)))
    with open(flow.path, "a") as file:
        file.write(RESTARTS)
    flow.supervise("--no-launchers")
    yield flow
    assert "watching failed" not in flow.log("watcher"), flow.log("watcher")


@pytest.fixture
def other(flow):
    other = Other(flow)
    yield other
    other.close()


@pytest.fixture
def listener(flow):
    listener = Listener(flow)
    yield listener
    listener.close()
