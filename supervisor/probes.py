"""Real checks that a daemon works: a ZEO server answers, the bus confirms a subscription."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import struct
from pathlib import Path
from typing import Any

from motoko.bus.messages import Message
from motoko.bus.subscriber import Subscriber
from motoko.host.process_limits import NoMoreProcesses

ROOM_S = 1.0  # how often to try again to start a thread
# Longer answers are not a ZEO server's figures: something else listens on its socket.
_LONGEST_ANSWER = 1 << 20


class NoAnswer(Exception):
    """A daemon does not answer, or answers wrongly."""


async def ping_zeo(path: Path, timeout: float) -> dict[str, Any]:
    """A ZEO server's figures (see :func:`figures`); ``NoAnswer`` if it gives none in time.

    Speaks ZEO's ``ruok``: length-prefixed, after the server's own greeting.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                await _receive(reader)
                writer.write(struct.pack(">I", 4) + b"ruok")
                answer = json.loads(await _receive(reader))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, EOFError, ValueError) as error:
        raise NoAnswer(str(error) or type(error).__name__) from error
    if not isinstance(answer, dict):
        raise NoAnswer(f"{path} is no ZEO server")
    return answer


async def _receive(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    if length > _LONGEST_ANSWER:
        raise ValueError(f"an answer of {length} bytes")
    return await reader.readexactly(length)


def figures(answer: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """What is worth showing of a ZEO server's answer: in a few words, and as counts."""
    counts = dict(answer)
    calls = counts.pop("motoko", {}).get("calls")
    connections = sum(
        storage.get("connections", 0) for storage in counts.values() if isinstance(storage, dict)
    )
    text = f"{connections} connection{'' if connections == 1 else 's'}"
    if calls is None:
        return text, {"connections": connections}
    return f"{text}, {calls} calls", {"connections": connections, "calls": calls}


def rss_bytes(pid: int) -> int | None:
    """The resident memory of a process; ``None`` if it has gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None
    return pages * resource.getpagesize()


async def ping_bus(address: str, timeout: float) -> bool:
    """Whether the bus confirms a new subscriber's subscription in time.

    As long as the machine has no room for another thread, waits for that first.
    """

    def ignore(message: Message) -> None:
        """Nothing to do: only the confirmation of the subscription matters."""

    while True:
        try:
            subscriber = Subscriber(address, ignore)
            break
        except NoMoreProcesses:
            await asyncio.sleep(ROOM_S)
    try:
        await subscriber.live(timeout)
    except TimeoutError:
        return False
    finally:
        subscriber.close()
    return True
