"""What a relay knows of a server: all that a client asks before it counts as connected.

A client that comes anew gives a server a few seconds for that, and would be lost while it is away.
What it is told of memory was true: its next calls wait, and the server is asked what has changed.
"""

from __future__ import annotations

from typing import Any

from motoko.channel.relay.zeo_framing import (
    PICKLES,
    REPLY,
    Message,
    Unreadable,
    framed,
    read,
    written,
)

# A client of the only storage that a study's server has, which may write.
REGISTRATION = ("1", False)
LATEST = bytes([0x7F, *[0xFF] * 7])  # later than any transaction
_ROOT = bytes(8)
# What tells all of it: the third call, of a record that the database has.
QUESTIONS = (
    written(1, False, "register", REGISTRATION),
    written(2, False, "get_info", ()),
    written(3, False, "loadBefore", (_ROOT, LATEST)),
)


class KnownServer:
    """What is known of the server behind one socket. Its sessions keep it up to date.

    Attributes:
        hello: its greeting; empty if none is known.
        tid: a transaction that it has said to be its newest one.
        witness: a record of its database, oid and tid; ``None`` if none is known.
        info: what it says of itself.
    """

    def __init__(self) -> None:
        self.hello = b""
        self.tid: bytes | None = None
        self.witness: tuple[bytes, bytes] | None = None
        self.info: Any = None

    @property
    def is_complete(self) -> bool:
        """Whether a client can be greeted in its place."""
        return bool(self.hello) and self.tid is not None and bool(self.info)

    def registered(self, tid: Any) -> None:
        """It has taken somebody in, and said which transaction is its newest one."""
        if not isinstance(tid, bytes):
            self.tid = None
        elif tid != self.tid:
            # It may be another database by now.
            self.tid, self.witness = tid, None

    def committed(self, tid: bytes) -> None:
        """It has told somebody of a transaction."""
        if self.tid is not None:
            self.tid = max(self.tid, tid)

    def state(self) -> bytes:
        """All of it, for another relay."""
        return self.hello + written(0, False, REPLY, (self.tid, self.witness, self.info))

    def restore(self, state: bytes) -> None:
        """Know what another relay has known; nothing, if that cannot be read."""
        size = len(framed(PICKLES))
        try:
            known = read(state[size:]).content
            if state[:size] == framed(PICKLES) and isinstance(known, tuple) and len(known) == 3:
                self.hello = state[:size]
                self.tid, self.witness, self.info = known
        except Unreadable:
            pass

    def recalled(self, call: Message) -> Any:
        """What it would answer to one of a client's first calls; ``None`` if that is not known."""
        if call.name == "register":
            return self.tid if call.content == REGISTRATION else None
        return self.info if call.name == "get_info" else None
