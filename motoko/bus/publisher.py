"""Publishing on the bus."""

from __future__ import annotations

import time
from types import TracebackType

import zmq

from motoko.bus.contexts import new_context
from motoko.bus.messages import Message, encode

# What a sleeping bus may owe us: at 300 bytes a message this is at most some 30 MB of memory.
# Beyond it PUB drops, sequence numbers tell, and subscribers read again.
SEND_HIGH_WATER_MARK = 100_000


class Publisher:
    """A connection into the bus. Not thread-safe: one per thread.

    Never blocks and never fails for want of a bus: while there is none, messages queue up to the
    high-water mark, then are dropped (sequence numbers make that visible).
    """

    def __init__(self, address: str) -> None:
        self._context = new_context()
        # XPUB, not PUB: it hears the bus's subscription, the proof that messages are not dropped.
        self._socket = self._context.socket(zmq.XPUB)
        # All of them: a bus that is back subscribes to what it had subscribed to before.
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._socket.set_hwm(SEND_HIGH_WATER_MARK)
        self._socket.linger = 500  # ms: a last word at the end, but no waiting for a dead bus
        self._socket.connect(address)

    def send(self, message: Message) -> None:
        """Publish one message."""
        self._socket.send_multipart(encode(message))

    def connected(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until the bus takes messages; whether it does.

        Each answer ``True`` stands for one connection: after the bus has been away, the next
        ``True`` says that it is back.
        """
        deadline = time.monotonic() + timeout
        while self._socket.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            if self._socket.recv()[:1] == b"\x01":
                return True
        return False

    def close(self) -> None:
        """Close the connection; waits up to 0.5 s for what is still unsent."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self.close()
