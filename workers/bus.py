"""The bus: everyone publishes into it, everyone subscribes from it.

An XSUB/XPUB forwarder. Publishers always send everything here; filtering happens on the way out.
The bus answers each subscription to a ``~welcome.<token>`` topic with a message of that topic:
for subscribers this is the proof that their subscriptions are live.
"""

from __future__ import annotations

import logging
import signal
from socket import socketpair

import zmq

from motoko.bus.contexts import new_context
from motoko.bus.subscriber import WELCOME
from motoko.layout import Runtime
from motoko.workers.daemon import arguments, as_process, running

# Messages held for a subscriber that does not read; if there are more, it misses some and resyncs.
HIGH_WATER_MARK = 100_000
SUBSCRIBE = b"\x01"


def forward(runtime: Runtime) -> None:
    """Forward until the process is told to stop."""
    context = new_context()
    incoming = context.socket(zmq.XSUB)
    outgoing = context.socket(zmq.XPUB)
    for socket in (incoming, outgoing):
        socket.set_hwm(HIGH_WATER_MARK)
        socket.linger = 0
    try:
        # Subscribers first: then they also get what a publisher sends as soon as it can connect.
        outgoing.bind(runtime.bus_subscribe)
        incoming.bind(runtime.bus_publish)
        incoming.send(SUBSCRIBE)
        logging.info("ready")
        poller = zmq.Poller()
        poller.register(incoming, zmq.POLLIN)
        poller.register(outgoing, zmq.POLLIN)
        # A signal that comes just before poll() sleeps would not wake it.
        woken, wakes = socketpair()
        wakes.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno())
        poller.register(woken, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if outgoing in ready:
                _answer(outgoing)
            if incoming in ready:
                outgoing.send_multipart(incoming.recv_multipart())
    finally:
        incoming.close()
        outgoing.close()
        context.term()


def _answer(outgoing: zmq.Socket[bytes]) -> None:
    subscription = outgoing.recv()
    if subscription[:1] == SUBSCRIBE and subscription[1:].startswith(WELCOME):
        outgoing.send_multipart([subscription[1:], b"{}"])


def main() -> None:
    """Entry point of ``python -m motoko.workers.bus``."""
    options = arguments("The bus of a Motoko workflow.")
    with running("bus", options.workflow) as daemon:
        forward(daemon.runtime)


if __name__ == "__main__":
    as_process(main)
