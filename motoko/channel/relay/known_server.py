"""What a relay knows of a server: the answers to all that a client asks when it connects.

A new client gives the server a few seconds for these answers, and would fail while the server is
away. So the relay answers from memory. What it says was true once: the client's next calls wait,
and the next server is asked what has changed.
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

# A client registers for the only storage that a study's server has, and may write.
REGISTRATION = ("1", False)
LATEST = bytes([0x7F, *[0xFF] * 7])  # later than any transaction
_ROOT = bytes(8)
# The questions that tell all of it; the third one asks for a record of the database.
QUESTIONS = (
    written(1, False, "register", REGISTRATION),
    written(2, False, "get_info", ()),
    written(3, False, "loadBefore", (_ROOT, LATEST)),
)


class KnownServer:
    """What is known of the server behind one socket. Its sessions keep it up to date.

    Attributes:
        hello: the server's greeting; empty if it is not known.
        tid: the transaction that the server has called its newest one.
        witness: a record of its database, oid and tid; ``None`` if none is known.
        info: what the server says of itself.
    """

    def __init__(self) -> None:
        self.hello = b""
        self.tid: bytes | None = None
        self.witness: tuple[bytes, bytes] | None = None
        self.info: Any = None

    @property
    def is_complete(self) -> bool:
        """Whether a client can be greeted in the server's place."""
        return bool(self.hello) and self.tid is not None and bool(self.info)

    def registered(self, tid: Any) -> None:
        """The server has registered a client, and told it the newest transaction."""
        if not isinstance(tid, bytes):
            self.tid = None
        elif tid != self.tid:
            # The server may have another database by now.
            self.tid, self.witness = tid, None

    def committed(self, tid: bytes) -> None:
        """The server has told a client of a transaction."""
        if self.tid is not None:
            self.tid = max(self.tid, tid)

    def state(self) -> bytes:
        """All that is known, for another relay."""
        return self.hello + written(0, False, REPLY, (self.tid, self.witness, self.info))

    def restore(self, state: bytes) -> None:
        """Take over what another relay has known, if that can be read."""
        size = len(framed(PICKLES))
        try:
            known = read(state[size:]).content
            if state[:size] == framed(PICKLES) and isinstance(known, tuple) and len(known) == 3:
                self.hello = state[:size]
                self.tid, self.witness, self.info = known
        except Unreadable:
            pass

    def recalled(self, call: Message) -> Any:
        """The server's answer to one of a client's first calls; ``None`` if it is not known."""
        if call.name == "register":
            return self.tid if call.content == REGISTRATION else None
        return self.info if call.name == "get_info" else None
