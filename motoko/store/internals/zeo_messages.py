"""Into ZEO's messages: large ones are assembled, and small ones sent, in proportion to their size.

ZEO itself assembles a message by appending each piece to a copy of all before, which takes time in
proportion to the square of its size. A server that receives 60 MB in this way answers no client
for more than ten seconds.

It sends each message by a call of the kernel, which wakes the receiver: for a small message that
takes longer than all the rest. Here, answers to messages that have come together go together, and
so does what is sent within :func:`together`.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
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
GATHERED_MAX = 64 << 10  # bytes that are sent at once


def install() -> None:
    """Have all connections that this process makes from now on do so; may be repeated."""
    if SizedMessageProtocol.__module__ == "ZEO.asyncio.smp":  # the one that is written in Python
        ZEO.asyncio.base.SizedMessageProtocol = _WholeMessages


@contextlib.contextmanager
def together(protocol: Any) -> Iterator[None]:
    """Send at the end of the block, at the latest, what one of ZEO's protocols sends within it."""
    transport = gathering(protocol)
    if transport is None:
        yield
        return
    transport.gather()
    try:
        yield
    finally:
        transport.release()


def gathering(protocol: Any) -> Gathering | None:
    """The transport of one of ZEO's protocols; ``None`` if there is none, or no such."""
    transport = getattr(getattr(protocol, "sm_protocol", None), "transport", None)
    return transport if isinstance(transport, Gathering) else None


class Gathering:
    """A connection's transport that sends pieces together, as long as it is told to gather them."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._size = 0
        self._depth = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def gather(self) -> None:
        """Keep what is written from now on until the matching :meth:`release`."""
        self._depth += 1

    def release(self) -> None:
        """Send what was kept, unless :meth:`gather` was called more often."""
        self._depth -= 1
        if not self._depth:
            self._send()

    def writelines(self, pieces: Sequence[bytes]) -> None:
        """Send pieces, now or later."""
        if not self._depth:
            self._transport.writelines(pieces)
            return
        self._pieces += pieces
        self._size += sum(map(len, pieces))
        if self._size > GATHERED_MAX:
            self._send()

    def close(self) -> None:
        """Send what was kept, and disconnect."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._pieces:
            pieces, self._pieces, self._size = self._pieces, [], 0
            self._transport.writelines(pieces)


class _WholeMessages(SizedMessageProtocol):  # type: ignore[misc]  # ZEO has no types
    """Passes whole messages on."""

    data_received: Callable[[bytes], None]

    def connection_made(self, transport: Any) -> None:
        gathers = Gathering(transport)
        super().connection_made(gathers)
        receive = whole(self.data_received)

        def received(piece: bytes) -> None:
            gathers.gather()
            try:
                receive(piece)
            finally:
                gathers.release()

        self.data_received = received


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
