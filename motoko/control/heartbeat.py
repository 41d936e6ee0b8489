"""The supervisor's heartbeat for other hosts: a small file that changes every few seconds.

Where hosts share files but not locks, and there is no channel, it tells them that the supervisor
lives. A host that wants to know watches the file for a while by its own clock: the clocks of hosts
differ, so the file holds no time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from motoko.host.clock import HEARTBEAT_S
from motoko.host.file_systems import is_shared
from motoko.host.files import contents
from motoko.layout import Runtime, channel_directory

# Several heartbeats, which includes the time that a file system may show an old one.
WATCH_S = 4 * HEARTBEAT_S
_LOOK_S = 0.25


class Heartbeat:
    """The heartbeat file, which a supervisor keeps changing if other hosts may see it.

    Args:
        runtime: the workflow's runtime.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._path = _path(runtime)
        self._channel = channel_directory(runtime.directory)
        self._shared = is_shared(runtime.wf)
        self._count = 0

    def beat(self) -> None:
        """Change the file. Raises ``OSError``."""
        if not (self._shared or self._channel.is_dir()):
            return
        self._count += 1
        # The text has a fixed length and is written at once, so nobody reads a part of it. The
        # file is opened anew so that other hosts see the change.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.pwrite(descriptor, f"{os.getpid():10d} {self._count:20d}\n".encode(), 0)
        finally:
            os.close(descriptor)

    def end(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def is_beating(runtime: Runtime, seconds: float = WATCH_S) -> bool:
    """Whether the heartbeat changes within some seconds. Returns at once if there is no file.

    Raises ``OSError`` if the file cannot be read.
    """
    before = contents(_path(runtime))
    deadline = time.monotonic() + seconds
    while before is not None and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        if contents(_path(runtime)) not in (None, before):
            return True
    return False


def _path(runtime: Runtime) -> Path:
    return runtime.wf / "heartbeat"
