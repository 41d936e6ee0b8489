"""Packing a database that is in use: nothing is lost, and nobody has to wait for it."""

import os

import transaction
from mirrors import check
from runs import RUN
from support import wait_until
from watched_studies import true
from watching import database, told_of
from ZODB.Connection import TransactionMetaData
from ZODB.FileStorage import FileStorage

from motoko.config import load
from motoko.control.study_access import opened
from motoko.store import packing
from motoko.store.task_creator import TaskCreator
from motoko.store.tids import committed_at

STATES = ("START", "FINISHED", "FORWARDED")
PACKS = 5


RUNS = int(os.environ.get("MOTOKO_PACKED_RUNS", "200"))


def pack(flow, until):
    config = load(flow.path)
    with opened(config, config.studies["mult"]) as base:
        return packing.pack(base, until)


def test_packing_at_full_speed(flow, other, listener):
    numbers = other.create("mult", [1.0, 2.0, 3.0])
    pids = flow.pids()
    stop = flow.directory / "stop"
    other.begin("play_until", "mult", numbers, STATES, str(stop))
    freed = []
    for count in range(1, PACKS + 1):
        wait_until(lambda count=count: len(listener.told["mult"]) > 150 * count, "it is written")
        # No further than the watcher has come: otherwise the last minute stays.
        told = committed_at(listener.told["mult"][-1].tid)
        freed.append(pack(flow, told.timestamp()).freed)
    stop.touch()
    other.end()  # raises what a commit has raised
    assert max(freed) > 0
    told = told_of(listener.up_to(other, "mult"))
    for number in numbers:
        states = [new for run, _, new in told if run == number]
        whole = ["CREATED", *STATES * (len(states) // len(STATES))]
        assert states == whole, f"run {number}"
        before = [old for run, old, _ in told if run == number]
        assert before == [None, *whole[:-1]]
    assert listener.counters["holes"] == 0 and listener.counters["resyncs"] == 0
    check(flow)
    assert flow.pids() == pids, "a daemon was restarted"

    # The command, and what asks for what is gone.
    early = listener.told["mult"][len(numbers)].tid
    done = flow.motoko("pack", "--days", "0")
    assert done.returncode == 0 and "history since" in done.stdout, done.stdout + done.stderr
    gone = flow.motoko("table", "mult", "--at", early)
    assert gone.returncode == 2 and "has been packed since then" in gone.stderr, gone.stderr
    left = {path.name for path in database(flow, "mult").parent.glob("bd.zeo*")}
    assert not left & {"bd.zeo.old", "bd.zeo.pack"}, left

    # Without a server.
    assert flow.motoko("kill", "--now").returncode == 0
    state = flow.motoko("table", "mult", "--format", "csv").stdout
    done = flow.motoko("pack", "mult", "--days", "0")
    assert done.returncode == 0 and " freed); history since" in done.stdout, done.stdout
    assert len(true(flow)) <= len(numbers)
    assert flow.motoko("table", "mult", "--format", "csv").stdout == state
    assert "nothing to drop" in flow.motoko("pack", "--days", "0").stdout


def fresh_copy(path, target):
    """A new database with the present records of another one; its size."""
    source, storage = FileStorage(str(path), read_only=True), FileStorage(str(target))
    whole = TransactionMetaData()
    storage.tpc_begin(whole)
    following = None
    while True:
        oid, tid, data, following = source.record_iternext(following)
        storage.restore(oid, tid, data, "", None, whole)
        if following is None:
            break
    storage.tpc_vote(whole)
    storage.tpc_finish(whole)
    source.close()
    storage.close()
    return target.stat().st_size


def test_size_of_a_packed_database(workflow, tmp_path):
    """Each run was changed in commits of its own, as launchers and doIt.py do."""
    flow = workflow()
    with opened(load(flow.path), load(flow.path).studies["mult"]) as base:
        TaskCreator(base).create([{"x": float(x)} for x in range(RUNS)], RUN, identity=RUN)
        transaction.commit()
        for number in range(1, RUNS + 1):
            for state in ("launched", "START", "FINISHED"):
                base.runs.entries[number].entries["state"] = state
                transaction.commit()
    before = database(flow, "mult").stat().st_size
    assert flow.motoko("pack", "--days", "0").returncode == 0
    size = database(flow, "mult").stat().st_size
    fresh = fresh_copy(database(flow, "mult"), tmp_path / "fresh")
    print(f"{RUNS} runs: {before} bytes, packed {size}, a fresh copy {fresh}: {size / fresh:.2f}")
    assert size < 1.3 * fresh < before
