"""The workflow's sockets as they are seen from here.

On another host than the supervisor's they stand at the same paths as there, as long as a relay
serves them. A process that wants them starts one as its child, which ends with it.
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

# By the workflow's directory, and by who has started it: not a forked child's.
_relays: dict[tuple[int, Path], contextlib.ExitStack] = {}


def reached(config: WorkflowConfig) -> Runtime | None:
    """Where the workflow's servers listen, also if that is on another host; ``None`` if nowhere.

    Raises what :func:`motoko.control.supervisor_lock.refuse_elsewhere` does if another host
    supervises, or has supervised last, and cannot be reached; and ``AlreadySupervised`` if its
    sockets cannot stand here.
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
                    f"cannot be had here: {error}",
                    hint=error.hint or f"mend that, or work there: ssh {supervisor.host}",
                ) from error
            _relays[key] = stack.pop_all()
            atexit.register(_end, key)
    return locate(config)


def _end(key: tuple[int, Path]) -> None:
    """At the interpreter's end; a forked child's copy is its parent's."""
    if key[0] == os.getpid():
        _relays.pop(key).close()
