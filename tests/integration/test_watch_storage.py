"""A connection that is given up leaves nothing behind, whatever its server was like."""

import contextlib
import queue
import socket
import threading

import pytest

from motoko.store import watch_storage
from motoko.store.watch_storage import CONNECTION_ERRORS, WatchStorage

ATTEMPTS = 5
GREETING = b"\x00\x00\x00\x03Z5\x00"  # a protocol that there is not


@pytest.fixture
def short(monkeypatch):
    """How long a server has to answer, in these tests."""
    monkeypatch.setattr(watch_storage, "CONNECT_DEADLINE_S", 0.1)


def threads():
    return {thread for thread in threading.enumerate() if "zeo client" in thread.name}


@contextlib.contextmanager
def server(path, answer):
    """What listens at a path: ``answer`` is called with each client's connection."""
    clients = []

    def serve():
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = listening.accept()
                clients.append(client)
                answer(client)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink()
            for client in clients:
                client.close()


@pytest.mark.parametrize(
    "answer",
    [None, lambda client: None, socket.socket.close, lambda client: client.send(GREETING)],
    ids=["absent", "silent", "gone at once", "another protocol"],
)
def test_leaves_no_thread(short, tmp_path, answer):
    before = threads()
    with contextlib.ExitStack() as stack:
        if answer is not None:
            stack.enter_context(server(tmp_path / "socket", answer))
        for _ in range(ATTEMPTS):
            with pytest.raises(CONNECTION_ERRORS):
                WatchStorage(str(tmp_path / "socket"), queue.SimpleQueue())
            assert threads() == before
