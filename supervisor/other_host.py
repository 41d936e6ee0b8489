"""Taking a workflow over from another host: what is true only on that host is forgotten.

The run directories and the requests in ``.wf/detached`` stay. The records name this host from now
on: should the other supervisor come back after all, it sees that it has lost the workflow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from motoko.channel.endpoint import FILE_NAME
from motoko.config import WorkflowConfig
from motoko.control.daemon_records import recorded_identity, supervisor_elsewhere
from motoko.layout import Runtime, channel_directory


def forget_other_host(config: WorkflowConfig, runtime: Runtime, say: Callable[[str], None]) -> None:
    """Forget the processes of the host that supervised the workflow last, if it was another host.

    The caller holds the supervisor's lock. ``say`` gets a line if there was another host.
    """
    before = supervisor_elsewhere(config)
    if before is None:
        return
    say(f"taken over from {before.host} (pid {before.pid})")
    doomed = [runtime.snapshot, runtime.restarts, runtime.wf / "paused.json"]
    doomed.append(channel_directory(config.directory) / FILE_NAME)
    for path in (runtime.wf / "daemons").glob("*.json"):
        identity = recorded_identity(runtime, path)
        if identity is not None and identity.is_elsewhere:
            doomed.append(path)
    for path in doomed:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
