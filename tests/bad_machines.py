"""What machines do to workflows: pids used again, full disks, lost sockets, clocks set back."""

import os
import signal

import msgspec
from support import processes_in, wait_until

from motoko.config import load
from motoko.control.client import supervisor_status


def daemon_of(flow, name):
    """What the supervisor says of a daemon."""
    status = supervisor_status(load(flow.path))
    assert status is not None, "it does not answer"
    return msgspec.to_builtins(status.daemon(name))


def is_ready(flow, timeout=30.0):
    """Wait until all is ready."""

    def ready():
        status = supervisor_status(load(flow.path))
        assert status is not None and status.supervisor.state == "ready", status
        return True

    wait_until(ready, "all is ready", timeout)


def kill9(flow, name):
    """Kill a daemon; returns its pid."""
    pid = daemon_of(flow, name)["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def another(flow, name, pid):
    """Wait until a daemon is ready with another pid."""

    def seen():
        daemon = daemon_of(flow, name)
        assert daemon["pid"] != pid and daemon["state"] == "ready", daemon
        return daemon

    return wait_until(seen, f"another {name}")


def nothing_runs(flow):
    assert not list(processes_in(flow.directory))
