"""The mirror under writers, while watcher, server and readers are killed: equal, row by row.

``MOTOKO_MIRROR_KILLS`` is how many are killed, ``MOTOKO_CAMPAIGN_SEED`` the campaign's seed.
"""

import os
import random
import subprocess
import sys
import time

import pytest
from mirrors import check, mirrored, stored
from support import kill9, wait_until
from watching import Other

from motoko.mirror.mirror_file import MIRROR_ERRORS

KILLS = int(os.environ.get("MOTOKO_MIRROR_KILLS", "16"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
WRITERS = 4
CHECK_EVERY = 8  # kills: then the writers pause
VICTIMS = ("watcher", "watcher", "zeo:mult", "reader")
PAUSE_MAX_S = 2.5
PATIENCE_S = 60.0

# Reads for ever what all runs are, and says how often the mirror could not tell.
READER = """
import sys

from motoko.config import load
from motoko.errors import StudyUnavailable
from motoko.mirror.current_mirror import current
from motoko.mirror.mirror_file import MIRROR_ERRORS
from motoko.mirror.mirror_tables import RUNS
from motoko.mirror.mirrored_rows import rows

config = load(sys.argv[1])
while True:
    try:
        with current(config, config.studies["mult"]) as moment:
            for _ in rows(moment.tables, RUNS):
                pass
    except (StudyUnavailable, *MIRROR_ERRORS) as error:
        print(repr(error), flush=True)
"""


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


class Reader:
    """A process that reads the study again and again."""

    def __init__(self, flow):
        self._flow = flow
        self._start()

    def _start(self):
        with open(self._flow.directory / "reader.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", READER, str(self._flow.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def replace(self):
        """Kill it, in the middle of whatever, and have another one."""
        assert self._process.poll() is None, "it has ended: see reader.log"
        self.close()
        self._start()

    def close(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def reader(flow):
    reader = Reader(flow)
    yield reader
    reader.close()
    assert "Traceback" not in (flow.directory / "reader.log").read_text()


def test_campaign(flow, others, reader, tmp_path):
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
            if victim == "reader":
                reader.replace()
            else:
                is_there = f"{victim} is there"
                kill9(wait_until(lambda v=victim: flow.pids().get(v), is_there, PATIENCE_S))
            read(flow)
        enough.touch()
        for other in others:
            other.end()
        check(flow, timeout=PATIENCE_S)


def read(flow):
    """Whatever is read meanwhile is what the database was at that transaction, or nothing."""
    try:
        tid, runs, jobs = mirrored(flow)
    except MIRROR_ERRORS:
        return
    if tid is not None:
        _, stored_runs, stored_jobs = stored(flow, at=tid)
        assert (runs, jobs) == (stored_runs, stored_jobs)
