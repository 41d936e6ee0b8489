"""Taking a workflow over from another host: what is true there only is forgotten.

What its runs have left is in their directories, and what was asked for in ``.wf/detached``: that
stays. The records name this host from now on, so that the other supervisor, should it come back
after all, sees that it has nothing to look after any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from motoko.channel.endpoint import FILE_NAME
from motoko.config import WorkflowConfig
from motoko.control.daemon_records import recorded_identity, supervisor_elsewhere
from motoko.layout import Runtime, channel_directory


def forget_other_host(config: WorkflowConfig, runtime: Runtime, say: Callable[[str], None]) -> None:
    """Forget the processes of the host that has supervised last, if that was another one.

    The caller holds the supervisor's lock. ``say`` gets a line.
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
