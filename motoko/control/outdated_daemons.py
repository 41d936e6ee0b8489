"""Which processes of a workflow execute an earlier version of Motoko than the installed one."""

from __future__ import annotations

from collections.abc import Mapping

from motoko.host.installed_code import installed_at


def outdated(started: Mapping[str, float]) -> list[str]:
    """The processes that were started before the present version was installed.

    Args:
        started: when each was started (seconds since 1970), by name.
    """
    if not started:
        return []
    installed = installed_at()
    return [name for name, moment in started.items() if moment < installed]
