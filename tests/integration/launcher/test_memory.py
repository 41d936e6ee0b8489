"""What a launcher keeps in memory: what it works with, and nothing of the runs that have ended."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import watching
from support import Flow
from watching import Other

from motoko.bus.publisher import Publisher
from motoko.config import load
from motoko.layout import locate
from motoko.workers.daemon import Daemon
from motoko.workers.launcher import launching

FEW, RUNS = 50, 120  # more than a pass prepares
CACHE = 100  # objects; a run consists of eight
OURS = ("BTrees", "BlackDynamite", "motoko", "persistent")
OF_CLIENT = ("LLBTree", "LLBucket")  # of the client's cache, which has a size of its own


def test_ended_runs_leave_nothing(flow):
    """The number of objects does not grow with the runs that were executed."""
    (flow.directory / "mult" / "launch.sh").write_text("true\n")
    manager = "  mult:\n    finish: on-exit\n"
    flow.path.write_text(flow.path.read_text().replace("  mult:\n", manager))
    flow.create()
    flow.supervise("--no-launchers")
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(flow.directory)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(watching.__file__).parent)},
        timeout=90,
        check=True,
    )
    assert json.loads(done.stdout) == {}


def more_objects(flow):
    """How many more there are of each class, as far as that is one for every other run or more."""
    launching.CACHE_OBJECTS = CACHE
    config = load(flow.path)
    daemon = Daemon("launcher:mult", config, locate(config), time.time())
    other = Other(flow)
    with Publisher(daemon.runtime.bus_publish) as publisher:
        publisher.connected(launching.BUS_DEADLINE_S)
        launcher = launching.Launcher(daemon, "mult", 2, publisher)
        try:
            before, after = asyncio.run(objects_after_each(launcher, other))
        finally:
            launcher._base.close()
            other.close()
    return {kind: count for kind, count in (after - before).items() if count >= RUNS // 2}


async def objects_after_each(launcher, other):
    """The objects in memory by class, after a few runs, and after many more."""
    found = []
    task = asyncio.create_task(launcher.run())
    for count in (FEW, RUNS):
        numbers = await asyncio.to_thread(
            other.create, "mult", [x + count / 100 for x in range(count)]
        )
        tid = bytes.fromhex(await asyncio.to_thread(other.tid, "mult"))
        while not (launcher._tid() >= tid and is_done(launcher)):
            assert not task.done(), task.result()
            await asyncio.sleep(0.02)
        assert len(numbers) == count
        launcher._executors.local.sweep_now()  # what it does a moment after the last end
        gc.collect()
        kinds = map(type, gc.get_objects())
        found.append(
            Counter(
                kind.__name__
                for kind in kinds
                if str(kind.__module__).startswith(OURS) and kind.__name__ not in OF_CLIENT
            )
        )
    launcher._stop()
    await task
    return found


def is_done(launcher):
    agenda = launcher._agenda
    return not (agenda.has_waiting or launcher._executors.runs or agenda.news.ended)


if __name__ == "__main__":
    print(json.dumps(more_objects(Flow(Path(sys.argv[1]), ("mult",)))))
