"""What the watcher tells: every transition, in order, whatever becomes of runs and databases.

Another process writes; a subscriber that wants all from the beginning is compared with what was
written, or with the database's own log.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from support import kill9, wait_until
from watched_studies import true
from watching import ROUND, Events, Listener, Other, awaited, database, steps, told_of
from ZODB.FileStorage import FileStorage
from ZODB.serialize import referencesf
from ZODB.utils import p64, u64

from motoko import Workflow
from motoko.bus.messages import Beat, Resync
from motoko.config import load
from motoko.store.study_database import create_study

ATTEMPT_S, ATTEMPTS = 5.3, 2.1  # how long the watcher waits for a server that is away


KILL_EVERY_S = 2.5  # else the supervisor makes pauses between restarts


def replace_database(flow, study, source):
    """Put another file in the place of a database that may be served."""
    target = database(flow, study)
    copy = target.with_suffix(".new")
    shutil.copy(source, copy)
    copy.replace(target)
    target.with_name("bd.zeo.index").unlink(missing_ok=True)


def end_server(flow, study):
    """Kill the server whose database was replaced, unless it has noticed that and ended."""
    with contextlib.suppress(LookupError, ProcessLookupError):
        kill9(flow.pids()[f"zeo:{study}"])


class TestDatabases:
    """Packed, created anew, replaced by an older copy."""

    def test_packed_by_a_client(self, flow, other, listener):
        numbers = other.create("mult", [1.0, 2.0])
        other.play("mult", numbers, *ROUND, times=5)
        before = listener.up_to(other, "mult")
        assert before == true(flow)
        other.pack("mult")
        other.play("mult", numbers, "START")
        told = listener.up_to(other, "mult")
        assert told[: len(before)] == before
        assert told_of(told[len(before) :]) == [(n, "FORWARDED", "START") for n in numbers]
        assert listener.counters["holes"] == 0
        self.a_late_one_is_told_of_the_hole(flow, other, numbers)
        # Where the pack has left the history, it is told.
        after = Listener(flow, after=before[-1][0])
        try:
            assert after.up_to(other, "mult")[:2] == told[len(before) :]
            assert after.counters["holes"] == 0
        finally:
            after.close()

    def a_late_one_is_told_of_the_hole(self, flow, other, numbers):
        late = Listener(flow)
        try:
            late.up_to(other, "mult")
            assert late.counters["holes"] == 1
            other.play("mult", numbers, "FINISHED")
            told = told_of(late.up_to(other, "mult"))
            assert told[-2:] == [(n, "START", "FINISHED") for n in numbers]
            assert late.counters["holes"] == 1
        finally:
            late.close()
        events = Events(flow, "--since", "0")
        gone = "mult: a part of the history is gone, transitions may be missing\n"
        wait_until(lambda: events.said == gone, "it says that some are missing")

    def test_packed_while_nobody_serves_it(self, flow, other, listener):
        """The watcher's checkpoint was packed away, too."""
        numbers = other.create("mult", [1.0, 2.0])
        other.play("mult", numbers, *ROUND)
        listener.up_to(other, "mult")
        other.close()
        watcher = flow.pids()["watcher"]
        os.kill(watcher, signal.SIGSTOP)
        assert flow.motoko("kill", "--bd_study", "mult").returncode == 0
        storage = FileStorage(str(database(flow, "mult")))
        storage.pack(time.time() + 1, referencesf)
        storage.close()
        kill9(watcher)
        flow.motoko("supervise", "--no-launchers")
        after = Other(flow)
        try:
            after.play("mult", numbers, "START")
            told = listener.up_to(after, "mult")
            assert told_of(told)[-2:] == [(n, "FORWARDED", "START") for n in numbers]
            self.a_late_one_is_told_of_the_hole(flow, after, numbers)
        finally:
            after.close()

    def test_a_transaction_that_was_cut_off(self, flow, other, listener):
        """A server that was killed while it wrote one calls it the newest, and has it not."""
        numbers = other.create("mult", [1.0, 2.0])
        other.play("mult", numbers, *ROUND)
        before = listener.up_to(other, "mult")
        resyncs = listener.of_type(Resync, "mult")
        assert flow.motoko("kill", "--bd_study", "mult").returncode == 0
        file = database(flow, "mult")
        content = file.read_bytes()
        last = bytearray(content[-u64(content[-8:]) - 8 :])
        last[:8] = p64(u64(last[:8]) + (1 << 20))
        last[16:17] = b"c"
        file.write_bytes(content + last)
        file.with_name("bd.zeo.index").unlink()
        flow.motoko("supervise", "--no-launchers")
        late = Listener(flow)
        try:
            wait_until(lambda: len(late.told["mult"]) == len(before), "it is told of the past")
            other.play("mult", numbers, "START")
            assert late.up_to(other, "mult") == listener.up_to(other, "mult") == true(flow)
            assert late.counters["holes"] == listener.counters["holes"] == 0
            assert listener.of_type(Resync, "mult") == resyncs
        finally:
            late.close()

    @pytest.mark.parametrize("how", ["stopped", "killed"])
    def test_created_anew(self, flow, other, listener, how, workflow):
        numbers = other.create("mult", [1.0, 2.0, 3.0])
        other.play("mult", numbers, *ROUND)
        listener.up_to(other, "mult")
        other.close()
        if how == "stopped":
            assert flow.motoko("kill", "--bd_study", "mult").returncode == 0
            create_study(load(flow.path).studies["mult"])
            flow.motoko("supervise", "--no-launchers")
        else:
            replace_database(flow, "mult", database(workflow("fresh"), "mult"))
            end_server(flow, "mult")
        wait_until(lambda: listener.of_type(Resync, "mult"), "it notices")
        assert "mult: read anew: the database was replaced by another" in flow.log("watcher")
        self.works(flow, listener)

    def works(self, flow, listener, states=(None, "CREATED")):
        """Whoever comes now finds what is in the new database, and is told of what happens."""
        workflow, other = Workflow(flow.path), Other(flow)
        workflow.run_name = "after"
        try:
            created = workflow.mult.createTask(x=9.0)
            asyncio.run(
                awaited(workflow, created, lambda: other.play("mult", [created[0][0].id], *ROUND))
            )
            number = created[0][0].id
            told = listener.up_to(other, "mult")
            assert told_of(told, number)[-4:] == steps(number, *states, *ROUND)
        finally:
            workflow.close()
            other.close()

    def test_no_database_in_the_file(self, flow, other, listener):
        """The watcher says so once, and goes on when there is one."""

        def unwatched():
            return [beat for beat in listener.of_type(Beat, "mult") if not beat.connected]

        other.close()
        kept = shutil.copy(database(flow, "mult"), flow.directory / "kept")
        replace_database(flow, "mult", "/dev/null")
        end_server(flow, "mult")
        wait_until(lambda: len(unwatched()) > 3, "it has tried again and again")  # 2 s each
        assert 1 <= flow.log("watcher").count("mult: not watched") <= 2, flow.log("watcher")
        replace_database(flow, "mult", kept)
        end_server(flow, "mult")
        self.works(flow, listener)


@pytest.mark.parametrize("flow", [("mult", "old", "away")], indirect=True)
def test_a_studys_trouble_is_not_anothers(flow, other, listener):
    """One study's server is stopped, another's killed again and again; then it is an older one."""
    (old,), numbers = other.create("old", [1.0]), other.create("mult", [1.0, 2.0])
    backup = shutil.copy(database(flow, "old"), flow.directory / "backup")
    other.play("old", [old], "START", "FINISHED")
    listener.up_to(other, "old")
    assert flow.motoko("kill", "--bd_study", "away").returncode == 0
    log, pid = flow.log("watcher"), flow.pids()["watcher"]
    kill9(pid)
    # Until then it has not all of its threads.
    wait_until(
        lambda: (now := flow.daemons()["watcher"])["state"] == "ready" and now["pid"] != pid,
        "the next one watches",
    )

    slowest, epochs, threads, next_kill = 0.0, 0, [], 0.0
    began = time.monotonic()
    while time.monotonic() < began + ATTEMPTS * ATTEMPT_S:
        count, before = len(listener.told["mult"]), time.monotonic()
        other.play("mult", numbers, *ROUND)
        wait_until(lambda count=count: len(listener.told["mult"]) == count + 6, "they are told")
        if epochs == (epochs := len({each.epoch for each in listener.told["mult"]})):
            slowest = max(slowest, time.monotonic() - before)
        pids = flow.pids()
        threads.append(thread_count(pids["watcher"]))
        if "zeo:old" in pids and time.monotonic() > next_kill:
            kill9(pids["zeo:old"])
            next_kill = time.monotonic() + KILL_EVERY_S
    assert slowest < 3, f"a transition of another study took {slowest} s"
    said = flow.log("watcher").removeprefix(log)
    assert said.count("away: not watched") == 1, said
    # What comes and goes: a connection to the one, an attempt to connect to the other.
    most = min(threads) + 2
    wait_until(lambda: thread_count(pids["watcher"]) <= most, f"no thread is left, as in {threads}")

    replace_database(flow, "old", backup)
    resyncs = len(listener.of_type(Resync, "old"))
    wait_until(lambda: flow.pids()["zeo:old"], "it is back")
    end_server(flow, "old")
    wait_until(lambda: len(listener.of_type(Resync, "old")) > resyncs, "the older one is watched")
    after = Other(flow)
    try:
        after.play("old", [old], "START")
        assert told_of(listener.up_to(after, "old"))[-1] == (old, "CREATED", "START")
        flow.motoko("supervise", "--no-launchers")
        (number,) = after.create("away", [1.0])
        assert told_of(listener.up_to(after, "away")) == [(number, None, "CREATED")]
    finally:
        after.close()


def thread_count(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])
