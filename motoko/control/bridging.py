"""The workflow's sockets as they are seen from here.

On another host than the supervisor's they stand at the same paths as there, as long as a relay
serves them. A process that wants them starts one as its child, which ends with it; in a job, that
of the job will do.
"""

from __future__ import annotations

from motoko.config import WorkflowConfig
from motoko.control import daemon_records
from motoko.control.supervisor_lock import refuse_elsewhere
from motoko.layout import Runtime, locate


def reached(config: WorkflowConfig) -> Runtime | None:
    """Where the workflow's servers listen, also if that is on another host; ``None`` if nowhere.

    Raises what :func:`motoko.control.supervisor_lock.refuse_elsewhere` does if another host
    supervises, or has supervised last, and cannot be reached.
    """
    if daemon_records.supervisor_elsewhere(config) is None:
        return locate(config)
    refuse_elsewhere(config)
    return locate(config)
