"""What a patient session does after a loss, case by case."""

import os
import pickle
import shutil

import pytest
from lost_servers import DIES, DROPS, OIDS, check, exchange, world
from zeo_by_hand import Client, Connection, Server, current
from ZODB.utils import z64

from motoko.channel.relay.known_server import KnownServer
from motoko.channel.relay.patient_session import PatientSession
from motoko.channel.relay.zeo_framing import Unreadable, framed, read

MINE = b"mine"


def voted(it, oids):
    """A client's transaction, of which it has been told that it can be committed."""
    for oid in oids:
        it.client.load(oid)
    it.run()
    it.client.say("tpc_begin", 7, b"", b"", {}, None, " ")
    for oid in oids:
        it.client.say("storea", oid, it.client.cache[oid][1], MINE, 7)
    it.client.call("vote", 7)
    it.run()
    it.client.stored = dict.fromkeys(oids, MINE)


def finishing(it, *, is_done):
    """It is told to commit it, and the server is lost before it has answered."""
    number = it.client.call("tpc_finish", 7)
    it.session.from_client(bytes(it.client.out))
    it.client.out.clear()
    if is_done:
        it.link.put(bytes(it.session.to_server))
    return number


@pytest.mark.parametrize("what", [DIES, DROPS])
@pytest.mark.parametrize("is_done", [True, False])
def test_a_commit_without_an_answer_is_done_once(is_done, what):
    with world() as it:
        voted(it, OIDS[:2])
        number = finishing(it, is_done=is_done)
        it.lose(what, commits=[OIDS[3]])
        it.run()
        it.outcomes[MINE] = it.client.answers[number]
        assert it.session.end == ""
        check(it)


def test_nobody_knows_of_a_commit_that_others_have_written_over():
    with world() as it:
        voted(it, OIDS[:2])
        finishing(it, is_done=True)
        it.lose(DIES, commits=[OIDS[1]])
        it.run()
        assert it.session.end == "nobody can tell whether its commit was done"
        it.outcomes[MINE] = "cut"
        check(it)


def test_a_commit_that_a_living_server_does_late_is_not_done_twice():
    """The connection is lost, not the server, which reads the old one's last bytes afterwards."""
    with world() as it:
        voted(it, OIDS[:1])
        finishing(it, is_done=False)
        old, late = it.link, bytes(it.session.to_server)
        it.session.lost()
        it.connect()
        it.session.from_server(it.link.take())
        it.link.put(bytes(it.session.to_server))
        it.session.to_server.clear()
        it.session.from_server(it.link.take())
        it.link.put(bytes(it.session.to_server))  # its vote, which waits for the old one's
        it.session.to_server.clear()
        old.put(late)
        it.run()
        assert it.session.end
        it.outcomes[MINE] = "cut"
        check(it)


def test_others_who_commit_before_its_vote_is_repeated():
    with world() as it:
        it.client.load(OIDS[3])
        voted(it, OIDS[:1])
        it.lose(DIES)
        for _ in range(2):  # the greeting; the registration and what has changed
            it.session.from_server(it.link.take())
            vote = bytes(it.session.to_server)
            it.session.to_server.clear()
            it.link.put(b"" if b"vote" in vote else vote)
        assert b"vote" in vote
        it.others(OIDS[3])
        it.link.put(vote)
        it.run()
        check(it)
        assert OIDS[3] not in it.client.cache


def test_an_open_transaction_goes_on_at_the_next_server():
    with world() as it:
        it.client.load(OIDS[0])
        it.run()
        it.client.say("tpc_begin", 7, b"", b"", {}, None, " ")
        it.client.say("storea", OIDS[0], it.client.cache[OIDS[0]][1], MINE, 7)
        it.run()
        it.lose(DIES)
        it.client.call("vote", 7)
        it.run()
        finish = it.client.call("tpc_finish", 7)
        it.lose(DIES)
        it.run()
        assert current(it.server, OIDS[0]) == (MINE, it.client.answers[finish])


def test_an_older_database_is_not_taken_for_the_same():
    with world() as it:
        shutil.copyfile(it.path, f"{it.path}.old")
        it.others(OIDS[0])
        it.run()
        it.server.kill()
        it.path.with_suffix(".zeo.index").unlink(missing_ok=True)
        shutil.copyfile(f"{it.path}.old", it.path)
        it.server = Server(it.path)
        it.session.lost()
        it.connect()
        it.run()
        assert it.session.end == "the server has an older state of the database"


def test_another_database_is_not_taken_for_the_same():
    with world() as it:
        shutil.copyfile(it.path, f"{it.path}.old")
        it.others(OIDS[0])  # the client is told of it, and it never was in the other one
        it.run()
        it.server.kill()
        shutil.copyfile(f"{it.path}.old", it.path)
        it.path.with_suffix(".zeo.index").unlink(missing_ok=True)
        it.server = Server(it.path)
        it.session.lost()
        it.others(OIDS[1])
        it.connect()
        it.run()
        assert it.session.end == "the server has another database"


def test_an_iterator_is_gone_with_its_server():
    with world() as it:
        it.client.call("iterator_start", z64, None)
        it.run()
        it.client.call("iterator_next", 0)
        it.run()
        assert it.client.calls == {}
        it.lose(DIES)
        assert "iterator" in it.session.end


def test_a_server_that_drops_it_again_and_again_is_given_up():
    with world() as it:
        it.client.load(OIDS[0])
        for _ in range(20):
            it.session.from_client(bytes(it.client.out))
            it.client.out.clear()
            it.lose(DROPS)
            it.session.from_server(it.link.take())
            if it.session.end:
                break
        assert "without an answer" in it.session.end


def test_idle_clients_outlast_any_number_of_servers():
    with world() as it:
        for _ in range(30):
            it.lose(DIES)
            it.run()
        assert it.session.end == ""


def test_what_is_no_client_goes_through_and_is_cut_with_the_server():
    with world() as it:
        link, session, asked = Connection(it.server), PatientSession(KnownServer()), Client()
        session.connected()
        session.from_server(link.take())
        session.from_client(framed(b"ruok")[:5])
        session.from_client(framed(b"ruok")[5:])
        link.put(bytes(session.to_server))
        session.from_server(link.take())
        assert b'"last-transaction"' in session.to_client
        session.lost()
        assert session.end
        exchange(asked, Connection(it.server))
        assert asked.tid != z64


class Planted:
    def __reduce__(self):
        return (os.mkdir, ("planted",))


def test_nothing_is_made_of_what_a_message_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = framed(pickle.dumps((1, 2, ".reply", Planted()), 3))
    assert read(message).number == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unreadable):
        read(framed(pickle.dumps((Planted(), 2, ".reply", ()), 3)))
    session = PatientSession(KnownServer())
    session.connected()
    session.from_server(framed(b"Z5"))
    session.from_client(framed(b"Z5") + framed(b"\x80\x03nonsense."))
    assert "cannot be read" in session.end
