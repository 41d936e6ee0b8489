"""A client's transaction of which the client has not been told that a server committed it."""

from __future__ import annotations

from typing import Any

from motoko.channel.relay.zeo_framing import Message, read

# A larger transaction is not kept. The client has it in memory, too.
KEPT_MAX = 256 << 20
_WITH_FILES = ("storeBlob",)  # names of calls that leave files with a server begin so


class OpenTransaction:
    """What a client has sent of a transaction.

    Attributes:
        number: the client's number for it.
        messages: the messages that another server must get before the vote.
        oids: the oids of the objects that it stores.
        is_kept: whether ``messages`` is complete.
        vote: the server's answer to the vote; ``None`` as long as there is none.
        is_finishing: whether a server was sent the call that commits it, and has not answered: it
            may be committed, or not.
    """

    def __init__(self, begin: bytes, number: Any) -> None:
        self.number = number
        self.messages = [begin]
        self.oids: list[bytes] = []
        self.is_kept = True
        self.vote: Message | None = None
        self.is_finishing = False
        self._size = len(begin)

    def add(self, call: Message, message: bytes) -> None:
        """Add a call that is part of the transaction."""
        self._size += len(message)
        if self._size > KEPT_MAX or call.name.startswith(_WITH_FILES):
            self.is_kept = False
            self.messages.clear()
        elif self.is_kept:
            self.messages.append(message)
            if call.name == "storea":
                self.oids.append(call.content[0])

    def tid(self, present: list[Message]) -> bytes | None:
        """The tid with which it was committed, by the present records of the objects it stores.

        ``None`` if the records differ from its own, or are not all of one transaction: then its
        tid cannot be known.
        """
        calls = [call for call in map(read, self.messages) if call.name == "storea"]
        records = {call.content[0]: call.content[2] for call in calls}
        tids = set()
        for oid, answer in zip(self.oids, present, strict=True):
            if answer.flag or not answer.content or answer.content[0] != records[oid]:
                return None
            tids.add(answer.content[1])
        return tids.pop() if len(tids) == 1 else None
