"""A client that loses its servers, and finds others: by hand, byte by byte."""

import itertools
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from zeo_by_hand import Client, Connection, Server, current
from ZODB.utils import p64, z64

from motoko.channel.relay.known_server import KnownServer
from motoko.channel.relay.patient_session import PatientSession

OIDS = [p64(n) for n in range(1, 5)]
DIES, DROPS, GOES_ON = "dies", "drops", "goes on"


class World:
    """A client, its patient session, and one server after the other."""

    def __init__(self, directory, happenings=()):
        self.path = Path(directory, "bd.zeo")
        self.names = map(str, itertools.count())
        self.outcomes = {}
        self.server = Server(self.path)
        for oid in OIDS:
            self.others(oid)
        self.happenings = []
        self.next_happening()
        self.known = KnownServer()
        self.newcomer()
        self.connect()
        self.run()  # up to its registration
        self.happenings = list(happenings)
        self.next_happening()

    def next_happening(self):
        never = (1 << 30, GOES_ON, [])
        self.bytes_left, self.what, self.commits = (
            self.happenings.pop(0) if self.happenings else never
        )

    def newcomer(self):
        """From now on, the client is another one, which has said nothing yet."""
        self.client, self.session = Client(), PatientSession(self.known)

    def kill(self):
        """There is no server from now on."""
        self.server.kill()
        self.session.lost()

    def bring_back(self):
        self.server = Server(self.path)
        self.connect()

    def without_a_server(self):
        """What client and session have to say to each other while there is none."""
        while self.client.out or self.session.to_client:
            self.session.from_client(bytes(self.client.out))
            self.client.out.clear()
            self.deliver()

    def connect(self):
        self.link = Connection(self.server)
        self.session.connected()

    def others(self, oid):
        """Somebody else commits."""
        client, link = Client(), Connection(self.server)
        exchange(client, link)
        client.load(oid)
        exchange(client, link)
        serial = client.cache.get(oid, (b"", z64))[1]
        client.say("tpc_begin", 1, b"", b"", {}, None, " ")
        client.say("storea", oid, serial, f"others {next(self.names)}".encode(), 1)
        vote = client.call("vote", 1)
        exchange(client, link)
        if vote in client.answers:
            client.call("tpc_finish", 1)
            exchange(client, link)
        link.drop()

    def passed(self, data):
        """What of it gets through before the server is lost; others commit in between."""
        while len(data) >= self.bytes_left:
            yield data[: self.bytes_left]
            data = data[self.bytes_left :]
            self.bytes_left = 0
            if self.what != GOES_ON:
                return
            for oid in self.commits:
                self.others(oid)
            self.next_happening()
        self.bytes_left -= len(data)
        yield data

    def run(self):
        """Until nothing is on its way any more."""
        while not self.session.end:
            self.session.from_client(bytes(self.client.out))
            self.client.out.clear()
            up = bytes(self.session.to_server)
            self.session.to_server.clear()
            for data in self.passed(up):
                self.link.put(data)
            down = self.link.take()
            for data in self.passed(down):
                self.session.from_server(data)
            self.deliver()
            if not self.bytes_left or self.link.wire.is_closed:
                self.lose()
            elif not (up or down or self.client.out or self.link.wire.out):
                break
        self.deliver()

    def deliver(self):
        self.client.put(bytes(self.session.to_client))
        self.session.to_client.clear()

    def lose(self, what=None, commits=()):
        what, commits = what or self.what, commits or self.commits
        self.next_happening()
        if what == DIES:
            self.server.kill()
            self.server = Server(self.path)
        else:
            self.link.drop()
        self.session.lost()
        for oid in commits:
            self.others(oid)
        if not self.session.end:
            self.connect()

    def commit(self, oids, *, abort=False, new=False):
        """One after the other, as ZEO's client does it; its outcome is the tid, or why not."""
        client = self.client
        name = f"mine {next(self.names)}".encode()
        if new:
            if not client.oids:
                client.call("new_oids")
                self.run()
            oids = [client.oids.pop(0)] if client.oids else []
            serials = {oid: z64 for oid in oids}
        else:
            for oid in oids:
                client.load(oid)
            self.run()
            serials = {oid: client.cache[oid][1] for oid in oids if oid in client.cache}
        if self.session.end or len(serials) < len(oids) or not oids:
            return
        client.say("tpc_begin", 7, b"", b"", {}, None, " ")
        for oid in oids:
            client.say("storea", oid, serials[oid], name, 7)
        if abort:
            client.call("tpc_abort", 7)
            self.outcomes[name] = "aborted"
            self.run()
            return
        vote = client.call("vote", 7)
        self.run()
        if vote not in client.answers:
            self.outcomes[name] = "aborted" if vote in client.errors else "cut before"
            if not self.session.end:
                client.call("tpc_abort", 7)
                self.run()
            return
        client.stored = dict.fromkeys(oids, name)
        finish = client.call("tpc_finish", 7)
        self.run()
        self.outcomes[name] = client.answers.get(finish, "cut")
        assert finish not in client.errors


def exchange(client, link):
    for _ in range(4):
        client.put(link.take())
        link.put(bytes(client.out))
        client.out.clear()


@contextmanager
def world(happenings=()):
    with TemporaryDirectory() as directory:
        it = World(directory, happenings)
        try:
            yield it
        finally:
            it.server.kill()


def check(world):
    commits = world.server.commits()
    for name, outcome in world.outcomes.items():
        tids = [tid for tid, records in commits if name in records.values()]
        if isinstance(outcome, bytes):
            assert tids == [outcome], "done once, as it was told"
        elif outcome == "cut":
            assert len(tids) <= 1
        else:
            assert tids == [], outcome
    if not world.session.end:
        assert not world.client.calls, "each call has its answer"
        for oid, (record, tid) in world.client.cache.items():
            assert current(world.server, oid) == (record, tid), "it knows of all changes"
    else:
        assert world.session.end in TRUTHFUL


TRUTHFUL = {
    "nobody can tell whether its commit was done",
    "it was in the middle of a commit, and others have changed the same",
}
