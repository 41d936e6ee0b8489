"""ZeroMQ contexts. A context starts its threads with its first socket."""

from __future__ import annotations

import zmq

from motoko.host.process_limits import check_threads

_THREADS = 2  # one for input and output, and one that closes sockets


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """A context. Raises ``NoMoreProcesses`` if ZeroMQ could start no threads: it would abort."""
    check_threads(_THREADS)
    return zmq.Context()
