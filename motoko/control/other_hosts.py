"""The way to the supervisor of a workflow on another host, or what is missing for it.

Requests to the control socket go through the channel directly, without a relay.
"""

from __future__ import annotations

import socket
from pathlib import Path

from motoko.errors import MotokoError
from motoko.layout import channel_directory

CONTROL = "control"


class NoWay(MotokoError):
    """The supervisor's host cannot be reached from here; the message says why."""


def connect_control(directory: Path, timeout: float) -> socket.socket:
    """A connection to the control socket on the supervisor's host; raises ``NoWay``.

    Args:
        directory: the workflow's directory.
        timeout: for connection and greeting together, in seconds.
    """
    from motoko.channel import connecting, endpoint
    from motoko.channel.greeting import Greeting, NotWelcome
    from motoko.channel.key_file import UnsafeKey
    from motoko.channel.tls import Contexts

    channel = channel_directory(directory)
    try:
        contexts = Contexts(channel, server=False)
        greeting = Greeting(host=socket.gethostname())
        return connecting.connect(endpoint.read(channel), contexts, CONTROL, greeting, timeout)
    except endpoint.NoChannel as error:
        raise NoWay(
            "it does not listen for other hosts",
            hint="set `remote: true` in motoko.yaml and start it anew there (motoko kill, motoko "
            "supervise)",
        ) from error
    except (connecting.Unreachable, NotWelcome, UnsafeKey) as error:
        raise NoWay(str(error), hint=error.hint) from error
