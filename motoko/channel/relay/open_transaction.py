"""A client's transaction that no server has committed yet, as far as the client has been told."""

from __future__ import annotations

from typing import Any

from motoko.channel.relay.zeo_framing import Message, read

# More than this of one transaction is not kept. A client has it in memory, too.
KEPT_MAX = 256 << 20
_WITH_FILES = ("storeBlob",)  # how the calls begin that leave files with a server


class OpenTransaction:
    """What a client has sent of a transaction.

    Attributes:
        number: by which the client calls it.
        messages: what another server has to be sent, before the vote.
        oids: of what it stores.
        is_kept: whether that is all of it.
        vote: the server's answer to the vote; ``None`` as long as there is none.
        is_finishing: a server was sent the call that commits it, and has not answered: it may be
            committed, or not.
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
        """A call that is part of it."""
        self._size += len(message)
        if self._size > KEPT_MAX or call.name.startswith(_WITH_FILES):
            self.is_kept = False
            self.messages.clear()
        elif self.is_kept:
            self.messages.append(message)
            if call.name == "storea":
                self.oids.append(call.content[0])

    def tid(self, present: list[Message]) -> bytes | None:
        """As what it has been committed, by the present records of what it stores.

        ``None`` if they are others, or not all of one transaction: that cannot be known then.
        """
        calls = [call for call in map(read, self.messages) if call.name == "storea"]
        records = {call.content[0]: call.content[2] for call in calls}
        tids = set()
        for oid, answer in zip(self.oids, present, strict=True):
            if answer.flag or not answer.content or answer.content[0] != records[oid]:
                return None
            tids.add(answer.content[1])
        return tids.pop() if len(tids) == 1 else None
