"""The mirror under writers, while its watcher and the server are killed: equal, row by row.

``MOTOKO_MIRROR_KILLS`` is how many are killed, ``MOTOKO_CAMPAIGN_SEED`` the campaign's seed.
"""

import os
import random
import time

import pytest
from mirrors import check, mirrored
from support import kill9, wait_until
from watching import Other

from motoko.mirror.mirror_file import MIRROR_ERRORS

KILLS = int(os.environ.get("MOTOKO_MIRROR_KILLS", "16"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
WRITERS = 4
CHECK_EVERY = 8  # kills: then the writers pause
VICTIMS = ("watcher", "watcher", "zeo:mult")
PAUSE_MAX_S = 2.5
PATIENCE_S = 60.0


@pytest.fixture
def flow(workflow):
    flow = workflow()
    # All that is killed is started again at once.
    with open(flow.path, "a") as file:
        file.write("supervisor:\n  attempts: 1000\n  backoff_max: 0.5\n")
    flow.supervise("--no-launchers")
    yield flow
    assert "watching failed" not in flow.log("watcher"), flow.log("watcher")


@pytest.fixture
def others(flow):
    others = [Other(flow) for _ in range(WRITERS)]
    yield others
    for other in others:
        other.close()


def test_campaign(flow, others, tmp_path):
    rng = random.Random(SEED)
    left, turn = KILLS, 0
    while left > 0:
        turn += 1
        enough = tmp_path / f"enough-{turn}"
        for number, other in enumerate(others):
            other.begin("churn", "mult", turn * WRITERS + number + 1, str(enough))
        for _ in range(min(left, CHECK_EVERY)):
            left -= 1
            moment = time.monotonic() + rng.random() * PAUSE_MAX_S
            wait_until(lambda m=moment: time.monotonic() > m, "time passes")
            victim = rng.choice(VICTIMS)
            pid = wait_until(lambda v=victim: flow.pids().get(v), f"{victim} is there", PATIENCE_S)
            kill9(pid)
            read(flow)
        enough.touch()
        for other in others:
            other.end()
        check(flow, timeout=PATIENCE_S)


def read(flow):
    """Whatever is read meanwhile is whole, or cannot be read."""
    try:
        tid, runs, _ = mirrored(flow)
    except MIRROR_ERRORS:
        return
    assert tid is None or all(len(values) > 3 for values in runs.values())
