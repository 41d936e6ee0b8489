"""Entries of wrong types that a run commits: they hold up nobody, and nobody dies of them."""

import math

import pytest
import transaction
from launching import (
    GATE,
    all_slots_free,
    deadline,
    kill_daemon,
    place,
    supervising,
    wrapper_of,
)
from support import wait_until

from motoko.runs.entries import DocumentedEntries

VALUES = {
    "state": [3, None, ["START"], {"a": 1}, math.nan, b"FINISHED"],
    "run_name": [3, None, ["r"]],
    "machine_name": [3, None, ["localhost"]],
    "run_path": [3, None, b"/tmp", "no\0path"],
    "nproc": ["many", [1], -1],
    "job_id": ["x", None, [1], 10**6],
    "id": ["x", None, [1], 10**6],
    "exec": [3, [1]],
    "start_time": ["soon", [1]],
}


@pytest.fixture
def supervised(workflow):
    with deadline(150), supervising(workflow) as make:
        yield make


def test_whatever_a_run_commits(supervised):
    """Each run ends as it would; one whose state was no text has failed."""
    flow, session = supervised("--slots", "60")
    rows = [(key, value) for key, values in VALUES.items() for value in values]
    runs = [session.create(f"{GATE}exit 3 # {n}") for n in range(len(rows))]
    places = [place(flow, run) for run in runs]
    for directory in places:
        wrapper_of(directory)
    session.refresh()
    for run, (key, value) in zip(runs, rows, strict=True):
        run.entries[key] = value
    transaction.commit()
    troubles = commands(flow, runs)
    kill_daemon(flow, "launcher:mult")
    assert session.ends(session.create("python doIt.py")) == [None]
    for directory in places:
        (directory / "go").touch()

    def over():
        session.refresh()
        ends = [DocumentedEntries(run.entries).get("ended_state") for run in runs]
        left = [row for row, end in zip(rows, ends, strict=True) if end != "FAILED"]
        assert not left, left
        return True

    wait_until(over, "all have ended", timeout=30)
    troubles += commands(flow, runs)
    for name, shown in flow.daemons().items():
        assert shown["restarts"] == (name == "launcher:mult"), (name, flow.log(name)[-3000:])
    assert not troubles, "\n".join(troubles)
    all_slots_free(flow)


def commands(flow, runs):
    """What commands that look at runs say of themselves."""
    troubles = []
    names = [f"mult.{number}" for number in range(1, len(runs) + 1)]
    for arguments in (["info"], ["info", "--json"], ["retry", *names], ["explain", names[0]]):
        done = flow.motoko(*arguments)
        if "Traceback" in done.stderr + done.stdout:
            troubles.append(f"{arguments[:2]}: {(done.stderr + done.stdout)[-700:]}")
    return troubles
