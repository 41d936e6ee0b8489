"""The notifier of a workflow: ``python -m motoko.workers.notifier``.

It listens to the bus for signs that something has happened, then looks at the mirrors and records,
and saves what is to be told before it has a process of its own tell it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time

from motoko.bus.messages import (
    ORCHESTRATOR,
    SUPERVISOR,
    Beat,
    DaemonStatus,
    Lacking,
    Message,
    OrchestratorStatus,
)
from motoko.bus.publisher import Publisher
from motoko.bus.subscriber import Subscriber
from motoko.config.daemon_kinds import NOTIFIER
from motoko.host.clock import HEARTBEAT_S
from motoko.host.locks import is_locked
from motoko.workers.daemon import Daemon, arguments, as_process, running, told_to_end
from motoko.workers.notifier import observing, saved
from motoko.workers.notifier.occurrences import Known, Seen, StudySeen, first_known, occurrences

log = logging.getLogger(__name__)

PAUSE_S = 1.0  # from a sign to the look: more signs may follow
SILENT_S = 30.0  # then an orchestrator on the bus has gone without a word
LAST_S = 8.0  # for what must still be sent when the workflow is stopped


def main() -> None:
    """Entry point of ``python -m motoko.workers.notifier``."""
    options = arguments("The notifier of a Motoko workflow.")
    with running(NOTIFIER, options.workflow) as daemon:
        asyncio.run(Notifier(daemon).run())


class Notifier:
    """The notifier of one workflow, in a running event loop."""

    def __init__(self, daemon: Daemon) -> None:
        self._config, self._runtime = daemon.config, daemon.runtime
        self._settings = daemon.config.notices
        self._since = daemon.since
        self._outbox = saved.read(daemon.runtime)
        self._studies: dict[str, StudySeen] = {}
        # The newest transaction of each study, and the one that was looked at.
        self._newest: dict[str, str] = {}
        self._looked: dict[str, str] = {}
        self._awaits: dict[tuple[str, int], tuple[int, float]] = {}
        self._given_up: dict[str, str] | None = None
        self._sign = asyncio.Event()
        self._sender: subprocess.Popen[bytes] | None = None
        self._trouble = ""

    async def run(self) -> None:
        """Watch until told to end."""
        stop = told_to_end()
        subscriber = Subscriber(self._runtime.bus_subscribe, self._heard, self._sign.set)
        subscriber.subscribe(b"beat.", SUPERVISOR.encode(), ORCHESTRATOR.encode())
        stopped = asyncio.ensure_future(stop.wait())
        try:
            with Publisher(self._runtime.bus_publish) as publisher:
                while not stop.is_set():
                    self._step()
                    self._beat(publisher)
                    sign = asyncio.ensure_future(self._sign.wait())
                    await asyncio.wait(
                        [stopped, sign],
                        timeout=HEARTBEAT_S,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    sign.cancel()
                    if self._sign.is_set() and not stop.is_set():
                        self._sign.clear()
                        await asyncio.wait([stopped], timeout=PAUSE_S)
            await self._last()
        finally:
            stopped.cancel()
            subscriber.close()
        log.info("stopped")

    def _beat(self, publisher: Publisher) -> None:
        waiting = sum(map(len, self._outbox.waiting.values()))
        publisher.send(
            DaemonStatus(
                NOTIFIER,
                os.getpid(),
                counts={"sent": self._outbox.count, "waiting": waiting},
                trouble=self._trouble,
            )
        )

    def _heard(self, message: Message) -> None:
        match message:
            case Beat(study=study, tid=tid):
                if self._newest.get(study) != tid:
                    self._newest[study] = tid
                    self._sign.set()
            case OrchestratorStatus(host=host, pid=pid, awaits=awaits, gone=gone):
                if gone:
                    self._awaits.pop((host, pid), None)
                elif (host, pid) not in self._awaits:
                    self._sign.set()
                if not gone:
                    self._awaits[host, pid] = (awaits, time.monotonic())
                else:
                    self._sign.set()
            case Lacking(absent=absent, given_up=given_up):
                known, self._given_up = self._given_up, {name: absent[name] for name in given_up}
                if known != self._given_up:
                    self._sign.set()

    def _step(self, *, last: bool = False) -> None:
        """Look, note what has happened, and have the next message sent."""
        try:
            self._look(last=last)
            self._send()
            self._trouble = ""
        except OSError as error:
            if not self._trouble:
                log.error("%s", error)
            self._trouble = f"its notes cannot be kept: {error.strerror or error}"

    def _look(self, *, last: bool) -> None:
        for study, tid in self._newest.items():
            if self._looked.get(study) != tid:
                runs = observing.look_at_study(self._runtime, study, tid)
                if runs is not None:
                    self._studies[study], self._looked[study] = runs, tid
        if {*self._config.studies} - self._studies.keys() and not last:
            return  # before all studies were seen, nobody knows what has ended
        heard = time.monotonic() - SILENT_S
        known = self._outbox.known
        given_up = self._given_up
        if given_up is None:  # the supervisor has said nothing yet
            given_up = dict.fromkeys(known.given_up if known else (), "")
        seen = Seen(
            studies=self._studies,
            awaits=sum(awaits for awaits, at in self._awaits.values() if at > heard),
            orchestrators=observing.look_at_orchestrators(self._runtime),
            ends=observing.look_at_ends(self._runtime),
            given_up=given_up,
            free=observing.free_bytes(self._config),
        )
        if known is None:
            known = self._outbox.known = self._known_at_first(seen)
            if known is None:
                return
            saved.write(self._runtime, self._outbox)
        before = saved.encoded(self._outbox)
        for event, line in occurrences(seen, known, self._settings, time.time(), last=last):
            if event in self._settings.events:
                log.info("%s: %s", event, line.partition("\n")[0])
                self._outbox.put(event, line)
        if saved.encoded(self._outbox) != before:
            saved.write(self._runtime, self._outbox)

    def _known_at_first(self, seen: Seen) -> Known | None:
        """What had happened before somebody was to be told; ``None`` if that cannot be read yet.

        Runs may fail, and orchestrators end, while this process is being started.
        """
        ended = {}
        for name, study in self._config.studies.items():
            runs = observing.ended_since(self._runtime, study, self._since)
            if runs is None:
                return None
            ended[name] = runs
        return first_known(seen, ended, self._since)

    def _send(self) -> None:
        """Take in how the last message was sent, and begin the next one."""
        outbox, now = self._outbox, time.time()
        if outbox.sending is not None and outbox.sending.begun:
            if self._sender is not None and self._sender.poll() is None:
                return
            if self._sender is None and is_locked(self._runtime.lock(saved.SENDING)):
                return  # the process that an earlier notifier has started
            if saved.last_sent(self._runtime) == outbox.sending.number:
                log.info("sent: %s", outbox.sending.subject)
                outbox.is_sent(now)
                saved.write(self._runtime, outbox)
            elif self._sender is not None:
                outbox.is_not_sent(now)
                saved.write(self._runtime, outbox)
            self._sender = None
        message = outbox.next(self._config.directory.name, now)
        if message is None:
            return
        saved.write(self._runtime, outbox)
        self._sender = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "motoko.workers.notifier.sender"),
                str(self._config.path),
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _last(self) -> None:
        """The workflow is being stopped: look once more, and send what can be sent now."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LAST_S
        while True:
            self._step(last=True)
            due = self._outbox.next_at()
            is_busy = self._outbox.sending is not None and self._outbox.sending.begun
            if not is_busy and (due is None or due > time.time()):
                return
            if loop.time() > deadline:
                return
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    as_process(main)
