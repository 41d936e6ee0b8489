"""Hosts, servers, gates and relays are struck down while runs compute: every run is FINISHED.

``MOTOKO_HOST_FAULTS`` is how many faults, ``MOTOKO_CAMPAIGN_SEED`` the seed of them and the runs.
"""

import itertools
import os
import random
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass

import pytest
from batch import claims, executions
from lab_flow import relays_of
from support import wait_until

FAULTS = int(os.environ.get("MOTOKO_HOST_FAULTS", "10"))
SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
CUT_S = 30
PATIENCE_S = 240
STUDIES = ("mult", "add")
# Each comes once before any comes twice.
KINDS = ("server", "cable", "node", "relays", "head", "gate", "server", "relays", "keepers")
TOGETHER = 8  # runs that are alive at a time
# What a client says whose session has ended while it waited for an answer.
LOST = "ClientDisconnected: connection lost"
# An attempt notes what it is about, and keeps what Python has said at its end.
SCRIPT = 'sleep {}; python doIt.py 2> "error-$MOTOKO_ATTEMPT"'
CODE = """
def about(what):
    with open("phases-" + os.environ["MOTOKO_ATTEMPT"], "a") as file:
        print(what, file=file)
about("to start")
run.start()
about("to compute")
time.sleep({})
run["by"] = int(os.environ["MOTOKO_ATTEMPT"])
about("to finish")
run.finish()
about("done")
"""


@dataclass(frozen=True)
class Death:
    """A node that was rebooted, or whose relays were killed."""

    node: str
    at: float


class Faults:
    """Strikes, and sees to it that a human being does what one has to do."""

    def __init__(self, lab, flow):
        self.lab, self.flow, self.rng = lab, flow, random.Random(SEED)
        self.struck, self.due, self.deaths, self.cuts = [], [], [], []

    def strike(self):
        self.due = self.due or self.rng.sample(KINDS, len(KINDS))
        kind = self.due.pop()
        self.struck.append(f"{kind} {getattr(self, kind)() or ''}".strip())

    def server(self):
        return self.kill(self.lab.head, f"workers.zeo .*{self.rng.choice(STUDIES)}")

    def gate(self):
        return self.kill(self.lab.head, r"workers\.gate")

    def relays(self):
        """Those of a node that serve. What keeps their sockets goes on, and starts others."""
        return self.kill_relays(are_keepers=False)

    def keepers(self):
        """Those that keep the sockets. The relays go on, until they are followed by others.

        Where both are killed at once, there is a moment without a socket: that is no fault of this
        campaign.
        """
        return self.kill_relays(are_keepers=True)

    def kill_relays(self, *, are_keepers):
        nodes = [node for node in self.lab.nodes if relays_of(node)]
        node = self.rng.choice(nodes or self.lab.nodes)
        if not are_keepers:
            self.cuts.append(Death(node.name, time.time()))
        return self.strike_down(node, relays_of(node, are_keepers=are_keepers))

    def kill(self, host, pattern):
        found = [found for found in host.processes() if re.search(pattern, found.command)]
        return self.strike_down(host, found)

    def strike_down(self, host, victims):
        for victim in victims:
            victim.identity.signal(signal.SIGKILL)
        return f"{len(victims)} on {host.name}"

    def cable(self):
        self.lab.head.cut()
        self.wait(CUT_S)
        self.lab.head.mend()

    def node(self):
        node = self.rng.choice(self.lab.nodes)
        self.deaths.append(Death(node.name, time.time()))
        self.lab.reboot(node)
        return node.name

    def head(self):
        self.lab.reboot(self.lab.head)
        self.wait(self.rng.uniform(0, 5))
        self.flow.supervise()

    def wait(self, seconds):
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > end, "it is time", timeout=seconds + 5)


def keep_busy(session, rng, numbers):
    """Create runs, so that some are alive."""
    for study in STUDIES:
        states = [entry["state"] for entry in session.entries(study).values()]
        alive = sum(state not in ("FINISHED", "FAILED") for state in states)
        wanted = TOGETHER // len(STUDIES) - alive
        if wanted > 0:
            before, during = rng.uniform(0, 3), rng.uniform(0, 4)
            script = SCRIPT.format(f"{before:.1f}") + f"  # {len(numbers)}"
            code = CODE.format(f"{during:.1f}")
            made = session.create(script, code, study=study, count=wanted)
            numbers += [(study, number) for number in made]


def reasons(flow, faults, study, number):
    """Why the attempts of a run before its last one have failed; by what is in its directory."""
    place = flow.place(number, study)
    attempts = claims(place)
    for attempt, after in itertools.pairwise(attempts):
        claim = place / ".motoko" / f"attempt-{attempt}"
        first, *_, node = claim.read_text().splitlines()
        begun = claim.stat().st_mtime
        ended = (place / ".motoko" / f"attempt-{after}").stat().st_mtime

        def met(deaths, node=node, begun=begun, ended=ended):
            return any(
                death.node == node and begun < death.at + 3 and death.at < ended for death in deaths
            )

        if met(faults.deaths):
            yield "node died"
            continue
        if first.split()[1] not in executions(place):
            record = place / ".motoko" / f"exit-{attempt}.json"
            said = record.read_text() if record.exists() else "no record"
            yield f"{study}.{number}, attempt {attempt} was not executed: {said}"
            continue
        phases, error = place / f"phases-{attempt}", place / f"error-{attempt}"
        last = phases.read_text().split("\n")[-2] if phases.exists() else "nothing"
        said = error.read_text() if error.exists() else ""
        if last in ("to start", "to finish"):
            yield "in a commit"
        elif last == "nothing" and LOST in said and met(faults.cuts):
            # It had a session, and reads until it knows its run: that is in no other relay.
            yield "was reading when its relay was killed"
        else:
            yield f"{study}.{number}, attempt {attempt}, {last}: {said[-1500:]}"


@pytest.mark.limit(300 + 40 * FAULTS)
def test_every_run_is_finished(batch, lab, slurm):
    flow, session = batch(yaml="retries: 9\npatience: 10m\n", studies=STUDIES)
    rng, numbers, faults = random.Random(SEED), [], Faults(lab, flow)
    try:
        for _ in range(FAULTS):
            wait_until(lambda: keep_busy(session, rng, numbers) is None, "there are runs", 60)
            faults.wait(rng.uniform(1, 4))
            faults.strike()
        for study in STUDIES:
            mine = [number for of, number in numbers if of == study]
            session.finished(mine, study=study, timeout=PATIENCE_S)
    finally:
        print(f"seed {SEED}: {faults.struck}")
    found = {study: session.entries(study) for study in STUDIES}
    why = Counter()
    for study, number in numbers:
        place, entry = flow.place(number, study), found[study][number]
        # A node may die between the two.
        assert len(executions(place)) <= len(claims(place)) == entry["attempt"], entry
        assert entry["by"] == entry["attempt"], entry
        why.update(reasons(flow, faults, study, number))
    print(f"{len(numbers)} runs, attempts that failed: {dict(why)}")
    assert set(why) <= {"node died", "in a commit", "was reading when its relay was killed"}, why
