"""Into ZEO's messages: assembling a large one takes time in proportion to its size.

ZEO itself assembles a message by appending each piece to a copy of all before, which takes time in
proportion to the square of its size. A server that receives 60 MB in this way answers no client
for more than ten seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import ZEO.asyncio.base
from ZEO.asyncio.smp import SizedMessageProtocol

from motoko.store.internals.self_check import Need, relies_on

relies_on(
    "ZEO",
    Need("ZEO.asyncio.base", "SizedMessageProtocol"),
    Need("ZEO.asyncio.base:ZEOBaseProtocol", "data_received", set_by="connection_made"),
    Need("ZEO.asyncio.smp:SizedMessageProtocol", "data_received", set_by="connection_made"),
)
_SIZE = struct.Struct(">I")  # comes before each message


def install() -> None:
    """Have all connections that this process makes from now on do so; may be repeated."""
    if SizedMessageProtocol.__module__ == "ZEO.asyncio.smp":  # the one that is written in Python
        ZEO.asyncio.base.SizedMessageProtocol = _WholeMessages


class _WholeMessages(SizedMessageProtocol):  # type: ignore[misc]  # ZEO has no types
    """Passes whole messages on."""

    data_received: Callable[[bytes], None]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.data_received = whole(self.data_received)


def whole(receive: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """A receiver of pieces that gives ``receive`` whole messages, each with its size before it."""
    pieces: list[bytes] = []
    present, wanted = 0, _SIZE.size

    def received(piece: bytes) -> None:
        nonlocal present, wanted
        pieces.append(piece)
        present += len(piece)
        if present < wanted:
            return
        data = b"".join(pieces) if len(pieces) > 1 else piece
        end = 0  # of the messages that are whole
        wanted = _SIZE.size
        while present - end >= _SIZE.size:
            wanted = _SIZE.size + _SIZE.unpack_from(data, end)[0]
            if present - end < wanted:
                break
            end += wanted
            wanted = _SIZE.size
        rest = data[end:]
        pieces[:] = [rest] if rest else []
        present = len(rest)
        if end:
            receive(data[:end])

    return received
