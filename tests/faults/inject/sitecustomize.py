"""Faults in the daemons themselves. Python runs this at its start where PYTHONPATH leads here.

``MOTOKO_FAULT_BUS=<seed>:<share>``: of the run events, beats, requests and replays that the bus
sends out, that share is dropped, doubled or held back behind later ones, each.

``MOTOKO_FAULT_WATCHER=<point>:<number>:<signal>:<file>``: the watcher sends itself a signal when it
reaches a point for the so-manieth time, once (the file says so): ``publish`` before a transition is
published, ``published`` after it, ``walk`` in the middle of reading the runs.

``MOTOKO_FAULT_QUEUE=<n>``: the watcher's queue of pushes holds no more than these.

``MOTOKO_FAULT_SERVER=<bytes>``: a ZEO server gives up a client that has left this much unread.

``MOTOKO_FAULT_LAUNCHER=<point>:<number>:<signal>:<file>``: the same for launchers. The points are
what it is about to do, in ``LAUNCHER``; with ``-ed`` what it has just done.

``MOTOKO_FAULT_ORCHESTRATOR=<seed>:<moments>:<kills>:<file>``: a detached orchestrator sends itself
SIGKILL at one of so many first moments of its life, in as many lives. A moment is before or after a
database's vote on a commit, or its finish. The file has a line for each death.
"""

import os
import random
import signal
import sys

CHAOTIC = (b"run.", b"beat.", b"ask.", b"replay.")
BEHIND = 5
# Points, and the modules and names of functions.
LAUNCHER = {
    "connect": ("store.base", "connect"),
    "examine": ("workers.launcher.recovery", "examine"),
    "adopt": ("workers.launcher.local_run", "LocalRun.adopt"),
    "prepare": ("workers.launcher.preparing", "Preparer.prepare"),  # and mark it in the transaction
    "wrap": ("workers.launcher.local_run", "LocalRun.start"),  # the wrapper, which waits
    "go": ("workers.launcher.local_run", "LocalRun.go"),  # after the commit
    "settle": ("runs.ends", "settle"),  # in a transaction
}


def lossy_bus(seed, share):
    import zmq

    rng = random.Random(f"{seed}-{os.getpid()}")
    send = zmq.Socket.send_multipart
    held = []

    def send_multipart(self, frames, *args, **kwargs):
        if not frames[0].startswith(CHAOTIC):
            return send(self, frames, *args, **kwargs)
        fate = rng.random()
        if fate < share:
            return None
        if fate < 2 * share:
            held.append([rng.randrange(1, BEHIND), frames])
            return None
        send(self, frames, *args, **kwargs)
        if fate < 3 * share:
            send(self, frames, *args, **kwargs)
        for each in list(held):
            each[0] -= 1
            if each[0] <= 0:
                held.remove(each)
                send(self, each[1], *args, **kwargs)
        return None

    zmq.Socket.send_multipart = send_multipart


def hit(point, number, name, file):
    """What calls to make where the fault shall happen."""
    left = [number]

    def here(where):
        if where != point:
            return
        left[0] -= 1
        if left[0] == 0:
            try:
                os.close(os.open(file, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            os.kill(os.getpid(), getattr(signal, name))

    return here


def faulty_watcher(here):
    from motoko.bus import publisher
    from motoko.bus.messages import Transition
    from motoko.mirror import run_index

    send = publisher.Publisher.send
    note = run_index.RunIndex._note

    def sending(self, message):
        if isinstance(message, Transition):
            here("publish")
        send(self, message)
        if isinstance(message, Transition):
            here("published")

    def noting(self, *args):
        here("walk")
        note(self, *args)

    publisher.Publisher.send = sending
    run_index.RunIndex._note = noting


def mortal_orchestrator(seed, moments, kills, file):
    from pathlib import Path

    from ZODB.Connection import Connection

    lives = Path(file)
    before = len(lives.read_text().splitlines()) if lives.exists() else 0
    if before >= kills:
        return
    left = [random.Random(f"{seed}-{before}").randrange(moments)]

    def moment(name):
        if left[0] == 0:
            with lives.open("a") as deaths:
                deaths.write(f"{name}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    def around(name):
        do = getattr(Connection, name)

        def doing(self, transaction):
            moment(f"before {name}")
            do(self, transaction)
            moment(f"after {name}")

        setattr(Connection, name, doing)

    around("tpc_vote")
    around("tpc_finish")


if "motoko.workers.orchestrator" in sys.orig_argv and "MOTOKO_FAULT_ORCHESTRATOR" in os.environ:
    seed, moments, kills, file = os.environ["MOTOKO_FAULT_ORCHESTRATOR"].split(":", 3)
    mortal_orchestrator(seed, int(moments), int(kills), file)


def faulty_launcher(here):
    import importlib

    for point, (module, name) in LAUNCHER.items():
        owner = importlib.import_module(f"motoko.{module}")
        *classes, name = name.split(".")
        for each in classes:
            owner = getattr(owner, each)
        setattr(owner, name, _surrounded(owner.__dict__[name], point, here))


def _surrounded(function, point, here):
    if isinstance(function, classmethod):
        return classmethod(_surrounded(function.__func__, point, here))

    def surrounded(*args, **kwargs):
        here(point)
        result = function(*args, **kwargs)
        here(f"{point}-ed")
        return result

    return surrounded


if "motoko.workers.bus" in sys.orig_argv and "MOTOKO_FAULT_BUS" in os.environ:
    seed, _, share = os.environ["MOTOKO_FAULT_BUS"].partition(":")
    lossy_bus(seed, float(share))
if "motoko.workers.watcher" in sys.orig_argv and "MOTOKO_FAULT_WATCHER" in os.environ:
    point, number, name, file = os.environ["MOTOKO_FAULT_WATCHER"].split(":", 3)
    faulty_watcher(hit(point, int(number), name, file))
if "motoko.workers.watcher" in sys.orig_argv and "MOTOKO_FAULT_QUEUE" in os.environ:
    from motoko.store import watch_storage

    watch_storage.QUEUE_MAX = int(os.environ["MOTOKO_FAULT_QUEUE"])
if "motoko.workers.launcher" in sys.orig_argv and "MOTOKO_FAULT_LAUNCHER" in os.environ:
    point, number, name, file = os.environ["MOTOKO_FAULT_LAUNCHER"].split(":", 3)
    faulty_launcher(hit(point, int(number), name, file))
if "motoko.workers.zeo" in sys.orig_argv and "MOTOKO_FAULT_SERVER" in os.environ:
    from motoko.store.internals import zeo_sending

    zeo_sending.BACKLOG_MAX = int(os.environ["MOTOKO_FAULT_SERVER"])
