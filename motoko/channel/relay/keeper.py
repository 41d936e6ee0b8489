"""The parent of a relay, which holds its listening sockets, also for the next one if it is killed.

So whoever connects meanwhile waits, and nobody finds that there is no server. It holds what it is
given and knows nothing of it. If it is killed itself, its relay goes on until there is another.
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

# What a relay exits with that is not to be followed by another one: it is done, or cannot serve.
DONE, UNABLE = 0, 1
CRASHED = 2
AGAIN_S = 0.1  # from one's beginning to the next one's, at least
_READY = "ready"


class Keeping:
    """A relay's side of it.

    Attributes:
        left: what the relay before has had kept, by its keys.

    Args:
        connection: to the keeper.
    """

    def __init__(self, connection: socket.socket, left: Mapping[str, Message]) -> None:
        self.connection = connection
        self.left = left

    def keep(self, key: str, words: Mapping[str, Any], descriptors: Iterable[int] = ()) -> None:
        """Have something kept for the next relay, instead of what has had this key."""
        # Without a keeper, or with one that is stopped, the next relay makes its own.
        with contextlib.suppress(OSError):
            messages.send(self.connection, {**words, "key": key}, list(descriptors))

    def ready(self) -> None:
        """The relay serves: who waits for more words of it, is to see that there are none."""
        self.keep(_READY, {})


def keep(serve: Callable[[Keeping], int]) -> int:
    """Have a relay serve, and the next one when it is killed; what the last one has returned.

    Args:
        serve: all of a relay, which a process of its own executes.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    left: dict[str, Message] = {}
    gc.freeze()  # what both have in memory is there once
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
        os._exit(code)  # it has never been more than a part of its parent


def _take(relay: socket.socket, left: dict[str, Message]) -> None:
    """Hold what a relay gives, until it ends."""
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
    """Say nothing on standard output any more."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.close(nowhere)
