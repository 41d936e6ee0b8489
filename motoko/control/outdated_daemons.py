"""Which processes of a workflow execute an earlier version of Motoko than the installed one."""

from __future__ import annotations

import time
from collections.abc import Mapping

from motoko.host.installed_code import installed_at


def outdated(uptimes: Mapping[str, float | None]) -> list[str]:
    """The processes that were started before the present version was installed.

    Args:
        uptimes: how long each has been running, in seconds, by name; ``None``: that is not known.
    """
    if not any(uptime is not None for uptime in uptimes.values()):
        return []
    since = time.time() - installed_at()
    return [name for name, uptime in uptimes.items() if uptime is not None and uptime > since]
