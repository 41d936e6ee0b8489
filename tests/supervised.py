"""`motoko supervise`, `ps` and `kill` with real daemons."""

import os
import signal

STUDIES = ("add", "mult")


ALL = {"zeo:add", "zeo:mult", "bus", "watcher", "launcher:add", "launcher:mult"}


def restarted(flow, name, pid, state="ready"):
    """A condition: the daemon is ready with another pid."""

    def condition():
        daemon = flow.daemons()[name]
        return daemon if daemon["state"] == state and daemon["pid"] != pid else None

    return condition


def frozen(flow):
    """Freeze the supervisor; returns its pid."""
    pid = flow.ps()["supervisor"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    return pid
