"""Many jobs at once on few nodes: afterwards nothing of them is left anywhere."""

import os
import time
from pathlib import Path

import pytest
from batch import executions
from support import wait_until

JOBS = int(os.environ.get("MOTOKO_HOST_JOBS", "60"))
SCRIPT = "until [ -e ../../go ]; do sleep 0.3; done"


def descriptors(lab):
    """How many each daemon on the head has open."""
    found = {}
    for process in lab.head.processes("motoko.workers"):
        number = len(list(Path(f"/proc/{process.identity.pid}/fd").iterdir()))
        found[process.command.split("motoko.workers.")[1]] = number
    return found


def relays(lab):
    return [process for node in lab.nodes for process in node.processes("channel/relay")]


@pytest.mark.limit(900)
def test_nothing_is_left(batch, lab, slurm):
    """Each node has a third of them at a time, and each job a relay of its own."""
    each = -(-JOBS // len(lab.nodes))
    slurm.set_cpus(each)
    flow, session = batch(yaml="finish: on-exit\n", do_it=False)
    first = session.create("true")
    session.finished(first)
    before = descriptors(lab)
    began = time.monotonic()
    numbers = session.create(SCRIPT, count=JOBS)

    def all_run():
        running = [n for n in numbers if executions(flow.place(n))]
        assert len(running) == JOBS, len(running)
        return True

    wait_until(all_run, "all jobs run", timeout=400)
    assert len(relays(lab)) >= JOBS
    print(f"{JOBS} jobs run after {time.monotonic() - began:.1f} s")
    (flow.directory / "mult" / "go").touch()
    session.finished(numbers, timeout=300)
    assert [len(executions(flow.place(number))) for number in numbers] == [1] * JOBS

    def nothing():
        places = [path for node in lab.nodes for path in node.path("/tmp").glob("motoko-*/*/*")]
        left = relays(lab), [path for path in places if path.is_socket()]
        assert not any(left), left
        return True

    wait_until(nothing, "no relay and no socket is left on the nodes", timeout=60)

    def as_before():
        now = descriptors(lab)
        more = {name: (before[name], now[name]) for name in before if now[name] > before[name] + 3}
        assert not more, more
        return True

    wait_until(as_before, "no descriptor is left on the head", timeout=60)
