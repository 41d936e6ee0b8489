"""Whose a connection is: by processes, from the next one upward."""

import os
import socket

from motoko.channel.relay import peer_marks
from motoko.channel.relay.peer_marks import command_name, owner_of, peer_of


def nobody(name):
    return False


def test_who_has_connected():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == os.getpid()


def test_a_commands(monkeypatch):
    """Its own relay counts, whatever job it is in."""
    monkeypatch.setattr(peer_marks, "variable", lambda pid, name: "0badcafe-7")
    own = command_name(os.getpid())
    assert owner_of(os.getpid(), lambda name: name == own) == own
    parent = command_name(os.getppid())
    assert owner_of(os.getpid(), lambda name: name == parent) == "0badcafe-7"


def test_a_jobs(monkeypatch):
    monkeypatch.setattr(
        peer_marks, "variable", lambda pid, name: "0badcafe-7" if pid == os.getppid() else None
    )
    assert owner_of(os.getpid(), nobody) == "0badcafe-7"


def test_names_that_are_none(monkeypatch):
    for name in ("", "../../x", "a/b", ".", "x" * 100):
        monkeypatch.setattr(peer_marks, "variable", lambda pid, _, name=name: name)
        assert owner_of(os.getpid(), nobody) == ""


def test_one_that_is_gone():
    beyond = (1 << 22) + 1  # no process has that number
    assert owner_of(beyond, nobody) == "" and owner_of(0, nobody) == ""
