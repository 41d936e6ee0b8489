"""What the watcher meets and lives through, loudly but not again and again."""

import errno
import itertools
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
import zmq
from support import kill9, wait_until
from watching import ROUND, Listener, Other, database

from motoko.bus.messages import Beat, decode
from motoko.config import load
from motoko.layout import Runtime, locate
from motoko.store import watch_storage
from motoko.store.server_address import address
from motoko.store.watch_storage import Failed, Pushed, WatchStorage
from motoko.workers.watcher import study_watcher
from motoko.workers.watcher.study_watcher import BEAT_S, StudyWatcher


@pytest.fixture
def flow(workflow):
    flow = workflow(studies=("mult",))
    flow.supervise("--no-launchers")
    return flow


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


def test_a_database_file_that_cannot_be_read(flow, other, monkeypatch):
    """A file that cannot be read, as on a stale NFS: the server is asked instead."""
    numbers = other.create("mult", [1.0])
    other.play("mult", numbers, *ROUND)

    def stale(*args):
        raise OSError(errno.ESTALE, "Stale file handle")

    config = load(flow.path)
    storage = WatchStorage(address(config.studies["mult"], locate(config)), SimpleQueue())
    try:
        path = database(flow, "mult")
        assert len(list(storage.transactions(bytes(8), path))) > 3
        monkeypatch.setattr(watch_storage, "FileIterator", stale)
        assert list(storage.transactions(bytes(8), path)) == []
        assert len(list(storage.transactions(bytes(8), None))) > 3
    finally:
        storage.close()


def test_a_push_that_cannot_be_taken_down(flow, other, monkeypatch):
    """The thread that ZEO calls is not the one that can do something about it: that is told."""
    events = SimpleQueue()
    config = load(flow.path)
    storage = WatchStorage(address(config.studies["mult"], locate(config)), events)
    try:
        other.create("mult", [1.0])
        while not isinstance(events.get(timeout=10), Pushed):
            pass
        error = ValueError("cannot be")

        def broken(*args):
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(watch_storage, "Pushed", broken)
            other.create("mult", [2.0])
            while not isinstance(event := events.get(timeout=10), Failed):
                pass
        assert event.error is error and storage.hears
    finally:
        storage.close()
    assert not storage.hears


@pytest.fixture
def lonely(tmp_path, monkeypatch):
    """A watcher of a study whose server nobody knows, and the bus that it talks to."""
    study = SimpleNamespace(
        name="away", is_local=False, tcp_address=None, host_path=tmp_path / "nowhere"
    )
    runtime = Runtime(tmp_path, tmp_path)
    context = zmq.Context()
    bus = context.socket(zmq.XSUB)
    bus.linger = 0
    bus.bind(runtime.bus_publish)
    bus.send(b"\x01")
    watcher = StudyWatcher(study, runtime)
    yield watcher, bus
    monkeypatch.setattr(study_watcher, "address", lambda *args: sys.exit())
    watcher.join(10)
    assert not watcher.is_alive()
    bus.close()
    context.term()
    (tmp_path / "bus-in").unlink(missing_ok=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # its end
def test_a_study_that_cannot_be_watched(lonely):
    """Its heartbeats go on, and the study is tried again."""
    watcher, bus = lonely
    watcher.start()
    times = []
    for _ in range(3):
        assert bus.poll(5000)
        message = decode(bus.recv_multipart())
        assert isinstance(message, Beat) and not message.connected
        times.append(time.monotonic())
    assert min(after - before for before, after in itertools.pairwise(times)) > BEAT_S / 2


DYING = """\
import threading
import time
from motoko.workers.watcher.study_watcher import end_with_any_thread

end_with_any_thread()
threading.Thread(target=lambda: 1 / 0, name="listen").start()
time.sleep(60)
"""


def test_a_thread_that_dies():
    """A thread's death ends the watcher, and the supervisor starts it again."""
    done = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert "listen has died" in done.stderr and "ZeroDivisionError" in done.stderr


def test_no_thread_comes_late(workflow):
    """A watcher has its threads from the start, though a study keeps it from being ready.

    Those who count them before and afterwards take any that come late for a leak.
    """
    flow = workflow(studies=("mult", "away"))
    flow.supervise("--no-launchers")
    other = Other(flow)
    listener = Listener(flow, ["mult"])
    try:
        numbers = other.create("mult", [1.0])
        assert flow.motoko("kill", "--bd_study", "away").returncode == 0
        pid = flow.pids()["watcher"]
        ready = flow.log("watcher").count("ready")
        kill9(pid)
        wait_until(lambda: flow.pids().get("watcher", pid) != pid, "there is another")
        other.play("mult", numbers, *ROUND)
        listener.up_to(other, "mult")
        pid = flow.pids()["watcher"]
        early = thread_count(pid)
        if flow.log("watcher").count("ready") > ready:
            pytest.skip("the machine is too slow: it is ready already")
        wait_until(lambda: flow.log("watcher").count("ready") > ready, "it is ready")
        wait_until(lambda: thread_count(pid) <= early, f"there are no more than {early} threads")
    finally:
        listener.close()
        other.close()


def thread_count(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
