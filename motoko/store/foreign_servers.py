"""The sockets of another workflow, whose study ``host:`` names and which another host supervises.

A relay through that workflow's own channel brings them here, as it does for its own commands.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from motoko.channel import endpoint
from motoko.errors import StudyUnavailable
from motoko.host.proc_files import boot_id
from motoko.layout import channel_directory

_lock = threading.Lock()
# By process and channel: a forked child does not own its parent's. Each ends with its process.
_relays: dict[tuple[int, Path], contextlib.ExitStack] = {}


def reach(study: str, directory: Path) -> None:
    """Make a workflow's sockets available on this host for as long as this process lives.

    Does nothing if the workflow is served on this host, or has no channel. Raises
    ``StudyUnavailable`` if the relay cannot be made.

    Args:
        study: the study whose server is wanted, for messages.
        directory: the workflow that the study belongs to.
    """
    channel = channel_directory(directory)
    try:
        gate = endpoint.read(channel)
    except endpoint.NoChannel:
        return
    if gate.boot_id == boot_id():
        return
    key = os.getpid(), channel
    with _lock:
        if key in _relays:
            return
        from motoko.channel.relaying import NoRelay, relayed

        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(relayed(channel))
            except NoRelay as error:
                raise StudyUnavailable(f"study {study}: {error}", hint=error.hint) from error
            _relays[key] = stack.pop_all()
