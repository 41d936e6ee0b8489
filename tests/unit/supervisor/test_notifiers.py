"""A notifier is a class and one line: a fictitious one is told of what happens to a workflow."""

import asyncio
import logging

import fictitious_notifier
import pytest
from fictitious_notifier import Pigeon
from support import write_workflow

from motoko.config import load
from motoko.control.runtime_directories import prepare
from motoko.supervisor import announcements
from motoko.supervisor.crew import Crew
from motoko.supervisor.daemon_specs import LauncherOptions, launchers
from motoko.supervisor.happenings import Happening, Occasion
from motoko.supervisor.listeners import Terminal
from motoko.supervisor.member import Member
from motoko.supervisor.status_changes import StatusChanges
from motoko.supervisor.table import Decision, Entry


class Broken(Pigeon):
    def notify(self, happening):
        raise ValueError("no wings")


@pytest.fixture
def sent(monkeypatch):
    """What the fictitious notifier has sent out; it is registered by one line."""
    monkeypatch.setattr(announcements, "NOTIFIERS", [*announcements.NOTIFIERS, Pigeon])
    monkeypatch.setattr(fictitious_notifier, "sent", [])
    return fictitious_notifier.sent


@pytest.fixture
def config(tmp_path):
    return load(write_workflow(tmp_path / "wf").path)


def given_up(config):
    """Have a daemon that is not there be given up."""

    async def scenario():
        crew = Crew(config, prepare(config), Terminal(), 10, StatusChanges())
        spec = launchers(config, LauncherOptions())[0]
        crew.members[spec.name] = member = Member(spec, Entry(spec.name))
        while member.entry.died(0.0, "exited with 1") is not Decision.GIVE_UP:
            pass
        crew._carry_out(member, Decision.GIVE_UP)
        crew.say(spec.name, "something that is none of its occasions")

    asyncio.run(scenario())


def test_it_is_told(config, sent, caplog):
    given_up(config)
    assert sent == [(config.directory, "given_up", "launcher:mult")]
    # The log is one, too.
    assert "launcher:mult given up after 5 attempts (exited with 1)" in caplog.text


def test_one_that_fails_keeps_nothing_from_the_others(config, sent, monkeypatch, caplog):
    monkeypatch.setattr(announcements, "NOTIFIERS", [Broken, *announcements.NOTIFIERS])
    given_up(config)
    assert sent and "given_up could not be sent out" in caplog.text and "no wings" in caplog.text


def test_a_fault_is_logged_with_where_it_was(config, caplog):
    said = announcements.Announcements(config, Terminal(), 10)
    with caplog.at_level(logging.ERROR):
        error = ValueError("a fault")
        said.notify(Happening(Occasion.FAILED, "supervisor", "has failed", error))
    assert "supervisor has failed" in caplog.text and "ValueError: a fault" in caplog.text
