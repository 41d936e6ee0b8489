"""Publishing on the bus."""

from __future__ import annotations

import time
from types import TracebackType

import zmq

from motoko.bus.contexts import new_context
from motoko.bus.messages import Message, encode

# Messages that may queue while the bus does not take them: at 300 bytes each, some 30 MB at most.
# Beyond it the socket drops messages; subscribers see it by sequence numbers, and read again.
SEND_HIGH_WATER_MARK = 100_000


class Publisher:
    """A connection into the bus. Not thread-safe: one per thread.

    Never blocks, and never fails if there is no bus: then messages queue up to the high-water
    mark, and further ones are dropped (sequence numbers make that visible).
    """

    def __init__(self, address: str) -> None:
        self._context = new_context()
        # XPUB, not PUB: it receives the bus's subscriptions, which prove that messages are taken.
        self._socket = self._context.socket(zmq.XPUB)
        # All subscriptions: a restarted bus subscribes to the same topics as before.
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._socket.set_hwm(SEND_HIGH_WATER_MARK)
        self._socket.linger = 500  # ms: enough for a last message, and no long wait for a dead bus
        self._socket.connect(address)

    def send(self, message: Message) -> None:
        """Publish one message."""
        self._socket.send_multipart(encode(message))

    def connected(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until the bus takes messages. Returns whether it does.

        Each ``True`` stands for one connection: after the bus has been away, the next ``True``
        says that it is back.
        """
        deadline = time.monotonic() + timeout
        while self._socket.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            if self._socket.recv()[:1] == b"\x01":
                return True
        return False

    def close(self) -> None:
        """Close the connection; waits up to 0.5 s for messages that are not sent yet."""
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
