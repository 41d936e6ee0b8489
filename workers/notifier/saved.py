"""The notifier's file: what was told, what waits, and what is being sent."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from motoko.host.files import contents, write_durably
from motoko.layout import Runtime
from motoko.workers.notifier.outbox import Outbox

SENDING = "notifier-sending"  # the lock of the process that sends


def read(runtime: Runtime) -> Outbox:
    """What was saved; an empty outbox if there is nothing, or it is of another version."""
    with contextlib.suppress(msgspec.DecodeError):
        if (data := contents(_path(runtime))) is not None:
            return msgspec.json.decode(data, type=Outbox)
    return Outbox()


def write(runtime: Runtime, outbox: Outbox) -> None:
    """Save it. Raises ``OSError`` if that is impossible."""
    write_durably(_path(runtime), encoded(outbox).decode() + "\n")


def encoded(outbox: Outbox) -> bytes:
    """It as JSON."""
    return msgspec.json.encode(outbox)


def last_sent(runtime: Runtime) -> int:
    """The number of the last message that a sender has sent; 0 if there is none."""
    text = (contents(sent_path(runtime)) or b"0").strip()
    return int(text) if text.isdigit() else 0


def sent_path(runtime: Runtime) -> Path:
    """The file in which a sender says that it has sent a message."""
    return runtime.wf / "notify.sent"


def _path(runtime: Runtime) -> Path:
    return runtime.wf / "notify.json"
