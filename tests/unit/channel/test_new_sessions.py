"""A client that comes while there is no server: answered what was true, or not at all."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lost_servers import DIES, OIDS, check, world
from zeo_by_hand import ENCODE, Connection, Server, current, framed

from motoko.channel.relay.known_server import QUESTIONS, KnownServer
from motoko.channel.relay.patient_session import PatientSession


@pytest.fixture
def it():
    """The server is away, after a client that has asked all it asks when it connects."""
    with world() as it:
        it.client.call("get_info")
        it.client.load(OIDS[0])
        it.run()
        it.info, it.newest = it.client.answers[2], it.server.commits()[-1][0]
        it.kill()
        it.newcomer()
        yield it


def begun(it):
    """The newcomer asks what ZEO's client asks, and is answered."""
    it.session.recall()
    it.without_a_server()
    number = it.client.call("get_info")
    it.without_a_server()
    assert it.client.answers[number] == it.info
    assert not it.client.calls and not it.session.is_kept_waiting


def test_it_is_connected_and_its_calls_wait(it):
    begun(it)
    assert it.client.tid == it.newest
    it.client.load(OIDS[1])
    it.without_a_server()
    assert it.client.calls
    it.bring_back()
    it.others(OIDS[1])
    it.run()  # that one is as it was
    it.client.load(OIDS[1])
    it.run()
    assert it.client.cache[OIDS[1]] == current(it.server, OIDS[1])
    it.commit(OIDS[:2])
    check(it)


def test_it_learns_what_was_committed_before_its_server_was_back(it):
    begun(it)
    it.client.load(OIDS[1])
    it.server = Server(it.path)
    for oid in (*OIDS, *OIDS):
        it.others(oid)
    it.connect()
    it.run()
    assert it.client.tid == it.server.commits()[-1][0]
    check(it)


@pytest.mark.parametrize("step", range(5))
def test_the_server_is_back_between_two_answers(it, step):
    """The server returns at any moment: each question is answered exactly once."""
    actions = [
        it.session.recall,
        lambda: (it.deliver(), it.session.from_client(bytes(it.client.out[:6]))),
        lambda: (it.session.from_client(bytes(it.client.out[6:])), it.client.out.clear()),
        it.deliver,
        lambda: it.client.call("get_info"),
    ]
    for number, action in enumerate(actions):
        if number == step:
            it.bring_back()
            it.others(OIDS[2])
            it.session.from_server(it.link.take())
        action()
    it.client.load(OIDS[2])
    it.run()
    assert it.session.end == ""
    check(it)


@settings(max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 400))
def test_servers_that_die_again_while_it_begins(are_back, most):
    with world() as it:
        it.client.call("get_info")
        it.run()
        it.kill()
        it.newcomer()
        begins = iter([lambda: it.client.call("get_info"), lambda: it.client.load(OIDS[0])])
        for is_back in are_back:
            it.session.recall()
            it.without_a_server()
            next(begins, lambda: None)()
            if is_back:
                it.bring_back()
                it.session.from_server(it.link.take(most))
                it.link.put(bytes(it.session.to_server))
                it.others(OIDS[0])
                it.session.from_server(it.link.take(most))
                it.deliver()
                it.kill()
        assert it.client.is_greeted
        it.bring_back()
        it.run()
        check(it)


@pytest.mark.parametrize("registration", [("1", True), ("2", False), ("1",)])
def test_who_registers_otherwise_waits(it, registration):
    it.session.recall()
    it.deliver()
    it.client.out.clear()
    it.client.calls.clear()
    it.client.out += framed(b"Z5")
    number = it.client.call("register", *registration)
    it.client.call("get_info")
    it.without_a_server()
    assert list(it.client.calls) == [number, number + 1]
    assert not it.session.is_kept_waiting


def test_what_who_registers_otherwise_is_told_is_nobody_elses():
    with world() as it:
        known = it.known.state()
        it.newcomer()
        it.connect()
        it.session.from_server(it.link.take())
        it.session.from_client(framed(b"Z5") + framed(ENCODE(1, False, "register", ("1", True))))
        it.others(OIDS[0])
        it.run()
        assert it.known.state() == known


def test_another_protocol_is_cut(it):
    it.session.recall()
    it.session.from_client(framed(b"M5"))
    assert "M5" in it.session.end


def test_where_nothing_is_known_nothing_is_said():
    session = PatientSession(KnownServer())
    session.recall()
    assert not session.to_client and not session.is_kept_waiting


def test_an_older_database(it):
    before = it.path.with_suffix(".old")
    shutil.copyfile(it.path, before)
    it.server = Server(it.path)
    it.others(OIDS[0])
    it.connect()
    it.run()
    it.kill()
    it.newcomer()
    begun(it)
    it.path.with_suffix(".zeo.index").unlink(missing_ok=True)
    shutil.copyfile(before, it.path)
    it.bring_back()
    it.run()
    assert it.session.end == "the server has an older state of the database"


def test_another_database(it):
    begun(it)
    for path in it.path.parent.glob("bd.zeo*"):
        path.unlink()
    it.server = Server(it.path)
    for oid in OIDS:
        it.others(oid)
    it.connect()
    it.run()
    assert it.session.end == "the server has another database"


def test_a_database_made_anew_is_known_from_then_on(it):
    for path in it.path.parent.glob("bd.zeo*"):
        path.unlink()
    it.server = Server(it.path)
    for oid in OIDS:
        it.others(oid)
    it.connect()
    it.run()  # somebody comes while it is there
    it.client.call("get_info")
    it.run()
    it.info = it.client.answers[2]
    it.kill()
    it.newcomer()
    begun(it)
    it.bring_back()
    it.client.load(OIDS[0])
    it.run()
    check(it)


def test_what_is_asked_when_there_is_no_client():
    with world() as it:
        known = KnownServer()
        session, link = PatientSession(known), Connection(it.server)
        session.connected()
        session.from_server(link.take())
        session.from_client(framed(b"Z5") + b"".join(QUESTIONS))
        link.put(bytes(session.to_server))
        session.from_server(link.take())
        assert session.is_idle and known.is_complete
        restored = KnownServer()
        restored.restore(known.state())
        assert vars(restored) == vars(known)
        it.known = restored
        it.kill()
        it.newcomer()
        it.info = known.info
        begun(it)


@pytest.mark.parametrize("state", [b"", b"\0\0\0\2Z5", b"\0\0\0\2Z5\0\0\0\1x", b"nonsense"])
def test_a_state_that_cannot_be_read_is_none(state):
    known = KnownServer()
    known.restore(state)
    assert vars(known) == vars(KnownServer())


def test_an_idle_newcomer_outlasts_any_number_of_servers(it):
    begun(it)
    it.bring_back()
    for _ in range(30):
        it.lose(DIES)
        it.run()
    assert it.session.end == ""
