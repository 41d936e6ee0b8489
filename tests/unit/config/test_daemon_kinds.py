"""A kind of daemon is a program and one line: a fictitious one is looked after as the others."""

import asyncio
import json
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fictitious_daemon import KIND
from support import write_workflow

from motoko.config import config_changes, daemon_kinds, load
from motoko.config.daemon_kinds import Scope
from motoko.errors import ConfigError, MotokoError
from motoko.host.identity import Identity
from motoko.layout import Runtime
from motoko.operations.daemon_switches import daemon_names
from motoko.supervisor.daemon_specs import all_daemons, base_daemons, may_start, needs
from motoko.supervisor.member import Member
from motoko.supervisor.readiness import Readiness
from motoko.supervisor.table import Entry, Policy, State


@pytest.fixture
def kind(monkeypatch):
    """The fictitious kind, registered by one line."""
    monkeypatch.setattr(daemon_kinds, "KINDS", [*daemon_kinds.KINDS, KIND])
    return KIND


@pytest.fixture
def workflow(tmp_path):
    """Loads a workflow with some text below ``supervisor:``."""
    flow = write_workflow(tmp_path / "wf", ("add", "mult"))
    text = flow.path.read_text()

    def make(below=" {}\n"):
        flow.path.write_text(f"{text}supervisor:{below}")
        return load(flow.path)

    return make


def test_unknown_without_that_line(workflow):
    with pytest.raises(ConfigError, match="is no kind of daemon"):
        workflow("\n  nice: {courier: 3}\n")
    with pytest.raises(MotokoError, match="no kind of daemon 'courier': zeo, bus, "):
        daemon_kinds.named("courier")


def test_commands_know_its_daemons(kind, workflow):
    assert daemon_names(workflow())[-2:] == ["courier:add", "courier:mult"]


def test_it_is_started(kind, workflow):
    config = workflow()
    spec = next(spec for spec in base_daemons(config) if spec.name == "courier:mult")
    assert spec.command[-4:] == ("-m", "fictitious_daemon", str(config.path), "mult")
    assert spec in all_daemons(config)
    assert needs(spec) == ["zeo:mult", "bus", "watcher"]
    states = {"zeo:mult": State.READY, "zeo:add": State.STARTING, "watcher": State.READY}
    assert may_start(spec, states)
    assert not may_start(spec, {**states, "zeo:mult": State.FAILED})
    assert Member(spec, Entry(spec.name)).beats


def test_it_has_settings(kind, workflow):
    before = workflow()
    after = workflow("\n  nice: {courier: 3}\n  stop_timeout: {courier: 9}\n")
    assert before.supervision.stop_timeout["courier"] == 2.5
    assert after.supervision.nice["courier"] == 3
    changes = {change.key: change.daemons for change in config_changes.changes(before, after)}
    assert changes["supervisor.nice"] == ("courier:add", "courier:mult")


def test_it_is_stopped_in_its_turn(kind, workflow):
    found = workflow("\n  stop_timeout: {courier: 9}\n").supervision
    before = ["orchestrator", "launcher", "courier", "watcher"]
    names = [*before, "notifier", "relay", "zeo", "gate", "bus"]
    assert [group.kind for group in found.stop_order] == names
    assert (found.stop_order[2].signal, found.stop_order[2].deadline) == (signal.SIGUSR2, 9.0)
    assert found.leave_order[2].signal == signal.SIGTERM


def test_one_that_does_not_beat_is_ready_once_it_has_its_record(workflow, monkeypatch):
    quiet = replace(KIND, beats=False)
    monkeypatch.setattr(daemon_kinds, "KINDS", [*daemon_kinds.KINDS, quiet])
    config = workflow()
    runtime = Runtime(config.directory, config.directory / ".wf")
    record = runtime.record("courier:mult")
    record.parent.mkdir(parents=True)
    spec = next(spec for spec in base_daemons(config) if spec.name == "courier:mult")
    ready = []

    async def begin():
        readiness = Readiness(runtime, None, 1.0, ready.append)
        member = Member.of(spec, runtime, Policy())
        member.child = SimpleNamespace(identity=Identity.mine())
        awaited = asyncio.ensure_future(readiness.awaited(member, member.child, adopted=False))
        record.write_text(json.dumps({**Identity.mine().to_dict(), "start_ticks": 1}))
        await asyncio.sleep(0.1)
        assert not awaited.done()  # it is another's
        record.write_text(json.dumps(Identity.mine().to_dict()))
        async with asyncio.timeout(5):
            await awaited
        assert ready == [member]

    asyncio.run(begin())


def test_settings_of_before_it_was_there(workflow, monkeypatch):
    """A daemon may be newer than the snapshot that it reads."""
    before = workflow()
    monkeypatch.setattr(daemon_kinds, "KINDS", [*daemon_kinds.KINDS, KIND])
    assert before.supervision.stop_order[2].deadline == KIND.stop_timeout
    changes = config_changes.changes(before, workflow("\n  nice: 1\n"))
    assert "courier:add" in {name for change in changes for name in change.daemons}


def test_the_table_is_sound():
    names = [kind.name for kind in daemon_kinds.KINDS]
    assert len(set(names)) == len(names)
    for kind in daemon_kinds.KINDS:
        for needed in map(daemon_kinds.named, (*kind.needs, *kind.settled)):
            assert needed.stop_turn > kind.stop_turn
        # A daemon of the workflow cannot need that of one study.
        scopes = [daemon_kinds.named(name).scope for name in kind.needs]
        assert kind.scope is Scope.STUDY or Scope.STUDY not in scopes
