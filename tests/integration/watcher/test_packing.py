"""Packing a database that is in use: nothing is lost, and nobody has to wait for it."""

from mirrors import check
from support import wait_until
from watched_studies import true
from watching import database, told_of

from motoko.config import load
from motoko.control.study_access import opened
from motoko.store import packing
from motoko.store.tids import committed_at

STATES = ("START", "FINISHED", "FORWARDED")
PACKS = 5


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
