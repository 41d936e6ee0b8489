"""Whose a run is: another host's, a stranger's, a user's own entries."""

import os
import signal
import subprocess
import sys

import pytest
import transaction
from launching import (
    GATE,
    deadline,
    go,
    living_of,
    place,
    start,
    stop,
    wrapper_of,
)
from support import wait_until

from motoko.host.identity import Identity
from motoko.runs.entries import OwnEntries
from motoko.runs.sessions import survivors
from motoko.runs.wrappers import Wrapper


@pytest.fixture(autouse=True)
def limit():
    with deadline(90):
        yield


def test_a_run_of_another_host_is_left_alone(supervised):
    """After a takeover: it is neither lost, nor executed twice; its end is recorded when known."""
    flow, session = supervised("--slots", "2")
    run = session.create(f"echo $MOTOKO_ATTEMPT >> tries\n{GATE}exit 3")
    directory = place(flow, run)
    wrapper = wrapper_of(directory)
    wait_until(lambda: len(living_of(directory)) > 1, "launch.sh runs")
    stop(flow, "launcher:mult")
    claim = directory / ".motoko" / "attempt-1"
    boot, stat, host, *rest = claim.read_text().splitlines()
    claim.write_text("\n".join([boot[::-1], stat, f"login2.{host}", *rest, ""]))
    start(flow, "launcher:mult")
    words = f"it was started on login2.{host}"
    wait_until(lambda: words in flow.log("launcher:mult"), "it says so")
    session.until(run, state="launched", attempt=1, exit_code=None)
    said = flow.motoko("explain", f"mult.{run.id}").stdout
    assert f"it runs on login2.{host}" in said and f"ssh login2.{host}" in said
    done = flow.motoko("clean", "-bd", "mult", "--yes")
    assert directory.exists(), done.stdout + done.stderr
    assert wrapper.alive
    go(flow, run)
    (error,) = session.ends(run)
    assert error is not None and "exit code 3" in error.reason
    session.until(run, exit_code=3, attempt=1)
    assert (directory / "tries").read_text() == "1\n"
    assert flow.log("launcher:mult").count(words) == 1


def test_a_session_s_number_that_is_somebody_else_s_now():
    """A session's number that another process has now: its processes are left alone."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            me = Identity.of(process.pid)
            assert me is not None and survivors(Wrapper(me)) == [me]
            stale = Wrapper(Identity(me.pid, me.start_ticks - 1, me.boot_id, me.host))
            assert survivors(stale) == [] and survivors(stale, Wrapper(me)) == [me]
        finally:
            os.kill(process.pid, signal.SIGKILL)


def test_a_user_s_entries_change_nothing_of_motokos(supervised):
    """A user's entries with Motoko's names do not confuse the launcher."""
    flow, session = supervised("--slots", "2", yaml="retries: 1\n")
    mine = {
        **{"attempt": "newton-2", "retry_at": "newton", "exit_code": [1], "batch_name": "mine"},
        **{"cancelled_by": "nobody", "ended_state": "FINISHED", "batch_attempt": "x"},
    }
    stop(flow, "launcher:mult")
    runs = [session.create("exit 7"), session.create("exit 7 # again")]
    for name, value in mine.items():  # as doIt.py may
        runs[1][name] = value
    transaction.commit()
    start(flow, "launcher:mult")
    for run in runs:
        (error,) = session.ends(run)
        assert error is not None and "exit code 7" in error.reason
        session.until(run, state="FAILED")
        own = OwnEntries(run.entries)
        assert (own.attempt, own.exit_code, own.ended_state) == (2, 7, "FAILED")
        assert own.cancelled_by is None and not own.is_job
    assert (run.attempt, run["attempt"]) == (2, "newton-2")
    assert {name: run.entries[name] for name in mine} == mine
    assert "Traceback" not in flow.log("launcher:mult")
    manager = session.workflow.mult
    assert [r.id for r, _ in manager.select("attempt = 2, exit_code = 7")] == [r.id for r in runs]
    assert (
        f"mult.{run.id}: CREATED again, attempt 3" in flow.motoko("retry", f"mult.{run.id}").stdout
    )
