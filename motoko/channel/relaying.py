"""A relay for this process: while it lives, this host has the sockets that the head has."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from motoko.channel import relay
from motoko.channel.relay import descriptor_messages
from motoko.channel.relay.shared_sockets import FOLDER, open_directory
from motoko.errors import MotokoError

START_S = 20.0
_END_S = 5.0
_LEAVE_S = 5.0  # how long relays may take to leave the sockets
_AGAIN_S = 0.5  # the shortest time between the starts of two relays

PROGRAM = Path(relay.__file__).parent / "__main__.py"


class NoRelay(MotokoError):
    """The workflow's sockets cannot be made on this host. Its text says why."""


@contextlib.contextmanager
def relayed(directory: Path, options: Mapping[str, str] | None = None) -> Iterator[bool]:
    """Have the workflow's sockets on this host while the block runs.

    They are for this process and its children.
    Yields whether a relay serves them: on the head none does. A relay that is killed meanwhile is
    replaced at once; it ends with this process, whatever ends that. Raises ``NoRelay``.

    Args:
        directory: the channel's directory, ``.wf/channel``.
        options: further options of the relay: see ``relay_process.main``.
    """
    own = _Relay(directory, {"command": str(os.getpid()), **(options or {})})
    is_needed = own.start()
    try:
        yield is_needed
    finally:
        own.end()


def send_away(sockets: Path) -> None:
    """Have the relays of this host leave the workflow's sockets to its own servers.

    It is for a host that becomes the head. Connected clients stay connected. It waits for the
    relays, a few seconds at most.
    """
    folder = sockets / FOLDER
    try:
        relays = [path for path in folder.iterdir() if path.is_socket()]
    except OSError:
        return
    deadline = time.monotonic() + _LEAVE_S
    for path in relays:
        with (
            contextlib.suppress(OSError),
            open_directory(folder) as descriptor,
            descriptor_messages.connect(descriptor, path.name) as connection,
        ):
            descriptor_messages.send(connection, {"leave": True}, [])
            # The relay closes the connection when it has left.
            select.select([connection], [], [], max(deadline - time.monotonic(), 0.0))


class _Relay:
    """A relay, and the relays that replace it."""

    def __init__(self, directory: Path, options: Mapping[str, str]) -> None:
        words = [f"--{name}={value}" for name, value in options.items()]
        self._command = [sys.executable, "-I", "-S", str(PROGRAM), str(directory), *words]
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._is_over = False

    def start(self) -> bool:
        process = self._begin()
        answer = _answer(process)
        word, _, rest = answer.partition(" ")
        if word == "ready":
            threading.Thread(target=self._keep, name="relay", daemon=True).start()
            return True
        self.end()
        if word == "head":
            return False
        reason = json.loads(rest) if word == "failed" else "it has said nothing"
        raise NoRelay(f"no relay to the workflow's head: {reason}")

    def _begin(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        return self._process

    def _keep(self) -> None:
        while True:
            process = self._process
            if process is None:
                return
            began = time.monotonic()
            process.wait()
            with self._lock:
                if self._is_over:
                    return
                self._begin()
            time.sleep(max(_AGAIN_S - (time.monotonic() - began), 0.0))

    def end(self) -> None:
        """End the relay. A forked child, which has none of its own, does nothing."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._is_over = True
            process = self._process
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:  # it is stopped, or the host is extremely busy
            process.kill()
            process.wait()
        process.stdout.close()


def _answer(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], START_S)[0]:
        return ""
    return process.stdout.readline().decode(errors="replace").strip()
