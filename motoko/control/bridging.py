"""The workflow's sockets on this host.

If the supervisor is on another host, they have the same paths here as there, as long as a relay
serves them. A process that needs them starts a relay as its child, which ends with it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from pathlib import Path

from motoko.config import WorkflowConfig
from motoko.control import client, daemon_records
from motoko.control.supervisor_lock import AlreadySupervised, refuse_elsewhere
from motoko.layout import Runtime, channel_directory, locate

# By the pid that has started the relay (a forked child does not own it), and by the directory.
_relays: dict[tuple[int, Path], contextlib.ExitStack] = {}


def reached(config: WorkflowConfig) -> Runtime | None:
    """Where the workflow's servers listen, here or on another host; ``None`` if nowhere.

    If another host supervises the workflow, or was the last to do so, and cannot be reached, it
    raises what :func:`motoko.control.supervisor_lock.refuse_elsewhere` does. If the sockets cannot
    be made on this host, it raises ``AlreadySupervised``.
    """
    supervisor = daemon_records.supervisor_elsewhere(config)
    if supervisor is None:
        return locate(config)
    if client.supervisor_status(config) is None:
        refuse_elsewhere(config)
    key = os.getpid(), config.directory
    if key not in _relays:
        from motoko.channel.relaying import NoRelay, relayed

        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(relayed(channel_directory(config.directory)))
            except NoRelay as error:
                raise AlreadySupervised(
                    f"{config.directory} is supervised on {supervisor.host}, and its sockets "
                    f"cannot be made here: {error}",
                    hint=error.hint or f"mend that, or work there: ssh {supervisor.host}",
                ) from error
            _relays[key] = stack.pop_all()
            atexit.register(_end, key)
    return locate(config)


def _end(key: tuple[int, Path]) -> None:
    """End a relay when the interpreter exits; in a forked child it is the parent's."""
    if key[0] == os.getpid():
        _relays.pop(key).close()
