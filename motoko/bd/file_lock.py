"""A lock between processes that is handed over at once, in the order of asking."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path


def locked_file(path: Path, timeout: float) -> int | None:
    """The descriptor of a file that is locked until it is closed; ``None`` after ``timeout`` s."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except BlockingIOError:
        return _waited_for(descriptor, timeout)


def _waited_for(descriptor: int, timeout: float) -> int | None:
    # The kernel queues those who wait, but knows no deadline: another thread waits.
    decision = threading.Lock()
    granted = threading.Event()
    given_up = False

    def wait() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with decision:
            if given_up:
                os.close(descriptor)
            granted.set()

    threading.Thread(target=wait, name="file lock", daemon=True).start()
    if granted.wait(timeout):
        return descriptor
    with decision:
        given_up = not granted.is_set()
    return None if given_up else descriptor
