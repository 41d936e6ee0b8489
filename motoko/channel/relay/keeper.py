"""The keeper: the parent of a relay, which holds its listening sockets for the next relay.

If the relay is killed, clients that connect meanwhile wait, and none finds that there is no server.
The keeper holds what it is given without interpreting it. If the keeper itself is killed, its relay
goes on until there is another one.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from motoko.channel.relay import descriptor_messages as messages
from motoko.channel.relay.descriptor_messages import Message

# The exit codes of a relay that must not be replaced: it is done, or cannot serve.
DONE, UNABLE = 0, 1
CRASHED = 2
AGAIN_S = 0.1  # the shortest time from the start of one relay to that of the next
_READY = "ready"


class Keeping:
    """A relay's access to its keeper.

    Attributes:
        left: what the relay before had given to the keeper, by key.

    Args:
        connection: the connection to the keeper.
    """

    def __init__(self, connection: socket.socket, left: Mapping[str, Message]) -> None:
        self.connection = connection
        self.left = left

    def keep(self, key: str, words: Mapping[str, Any], descriptors: Iterable[int] = ()) -> None:
        """Have something kept for the next relay, in place of what was kept with this key."""
        # Without a keeper, or with a stopped one, the next relay makes its own sockets.
        with contextlib.suppress(OSError):
            messages.send(self.connection, {**words, "key": key}, list(descriptors))

    def ready(self) -> None:
        """Say that the relay serves: then the keeper closes its standard output, too."""
        self.keep(_READY, {})


def keep(serve: Callable[[Keeping], int]) -> int:
    """Have a relay serve, and start the next one when it is killed; returns the last exit code.

    Args:
        serve: the whole work of a relay, which a child process executes.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    left: dict[str, Message] = {}
    gc.freeze()  # keeper and relay share this memory
    while True:
        began = time.monotonic()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if not pid:
            ours.close()
            theirs.setblocking(False)
            _serve(serve, Keeping(theirs, left))
        theirs.close()
        with ours:
            _take(ours, left)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code in (DONE, UNABLE):
            return code
        time.sleep(max(AGAIN_S - (time.monotonic() - began), 0.0))


def _serve(serve: Callable[[Keeping], int], keeping: Keeping) -> None:
    code = CRASHED
    try:
        code = serve(keeping)
    finally:
        kind, error, trace = sys.exc_info()
        if kind is not None and error is not None:
            sys.excepthook(kind, error, trace)
        os._exit(code)  # a forked child must not execute its parent's exit handlers


def _take(relay: socket.socket, left: dict[str, Message]) -> None:
    """Hold what a relay gives, until the relay ends."""
    with contextlib.suppress(OSError):
        while (message := messages.receive(relay)) is not None:
            key = str(message.words.get("key", ""))
            if key == _READY:
                be_silent()
                continue
            before = left.get(key)
            left[key] = message
            if before is not None:
                before.drop()


def be_silent() -> None:
    """Close standard output for good: it leads nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.close(nowhere)
