"""Whether a workflow lives on another host: what its locks, its heartbeat and its gate tell."""

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest
from support import write_workflow

from motoko.config import load
from motoko.control import signs_of_life
from motoko.control.daemon_records import SUPERVISOR, record_text
from motoko.control.other_hosts import NoWay
from motoko.control.signs_of_life import Life, Signs, signs
from motoko.control.supervisor_lock import (
    AlreadySupervised,
    SupervisorLost,
    refuse_elsewhere,
    supervised_elsewhere,
)
from motoko.errors import NoSupervisor
from motoko.host.identity import Identity
from motoko.host.locks import locked
from motoko.layout import Runtime
from motoko.operations.starting import check_startable

NO_WAY = NoWay("no route", hint="is it up?")


@pytest.fixture
def config(tmp_path):
    workflow = write_workflow(tmp_path / "wf")
    (workflow.directory / "mult" / ".bd").mkdir()
    (workflow.directory / "mult" / ".bd" / "bd.zeo").touch()
    return load(workflow.path)


@pytest.fixture
def runtime(config):
    for name in ("locks", "daemons", "orchestrators"):
        (config.directory / ".wf" / name).mkdir(parents=True)
    return Runtime(config.directory, config.directory / ".wf")


@pytest.fixture
def there(runtime):
    """The workflow was supervised on another host."""
    who = replace(Identity.mine(), host="head", boot_id="its own", pid=42)
    runtime.record(SUPERVISOR).write_text(json.dumps(who.to_dict()))
    return runtime


@pytest.mark.parametrize(
    ("seen", "life"),
    [
        ({"answers": True}, Life.SUPERVISED),
        ({"locked": (SUPERVISOR,), "no_way": NO_WAY}, Life.SUPERVISED),
        ({"is_beating": True, "no_way": NO_WAY}, Life.SUPERVISED),  # locks are not shared
        ({"is_beating": True, "no_way": NO_WAY, "has_rebooted": True}, Life.SUPERVISED),
        ({"locked": ("zeo:mult",), "no_way": NO_WAY}, Life.LEFT),
        ({"locked": ("runs",), "no_way": NO_WAY, "has_rebooted": True}, Life.LEFT),
        ({}, Life.LEFT),  # the gate lets us through, and nobody answers behind it
        ({"no_way": NO_WAY}, Life.NONE),
        ({"no_way": NO_WAY, "has_rebooted": True}, Life.NONE),
    ],
)
def test_what_signs_come_to(seen, life):
    assert Signs(Identity.mine(), **seen).life is life


class TestSeen:
    def test_nobody_supervises(self, config):
        assert signs(config) is None
        refuse_elsewhere(config)

    def test_this_host_supervised_last(self, config, runtime):
        runtime.record(SUPERVISOR).write_text(record_text(runtime, name=SUPERVISOR))
        assert signs(config) is None
        check_startable(config, launchers=False, watching=True)

    @pytest.mark.parametrize(
        ("name", "life"),
        [("supervisor", Life.SUPERVISED), ("zeo:mult", Life.LEFT), (None, Life.NONE)],
    )
    def test_by_the_locks(self, config, there, name, life):
        with locked(there.lock(name)) if name else nullcontext():
            seen = signs(config)
        assert seen.life is life and seen.supervisor.host == "head"
        assert seen.locked == ((name,) if name else ())
        assert "does not listen for other hosts" in str(seen.no_way)

    def test_a_run_that_holds_a_slot(self, config, there):
        (there.wf / "locks" / "slots").mkdir()
        with locked(there.wf / "locks" / "slots" / "0"):
            assert signs(config).locked == ("runs",)

    def test_the_heartbeat_is_watched_if_nothing_else_tells(self, config, there, monkeypatch):
        watched = []

        def beats(runtime):
            watched.append(runtime)
            return True

        monkeypatch.setattr(signs_of_life, "is_beating", beats)
        assert signs(config).life is Life.NONE and not watched
        assert signs(config, watching=True).life is Life.SUPERVISED
        with locked(there.lock(SUPERVISOR)):
            signs(config, watching=True)
        assert len(watched) == 1


class TestRefused:
    def test_one_that_lives(self, config, there):
        with locked(there.lock(SUPERVISOR)), pytest.raises(AlreadySupervised) as caught:
            refuse_elsewhere(config)
        assert "is supervised on head (pid 42), which cannot be reached" in str(caught.value)
        assert "`remote: true`" in caught.value.hint and "ssh head" in caught.value.hint

    def test_one_that_is_dead(self, config, there):
        with pytest.raises(SupervisorLost, match="is no longer alive") as caught:
            refuse_elsewhere(config)
        assert "--takeover" in caught.value.hint
        assert isinstance(caught.value, NoSupervisor)

    def test_one_that_is_dead_and_has_left_others(self, config, there):
        with locked(there.lock("zeo:mult")), pytest.raises(SupervisorLost) as caught:
            refuse_elsewhere(config)
        assert "other processes there are: zeo:mult" in str(caught.value)
        assert "--takeover" not in caught.value.hint and "ssh head" in caught.value.hint

    def test_one_that_can_be_reached(self, config, there):
        error = supervised_elsewhere(config, Signs(Identity.mine(), answers=True))
        assert "motoko kill" in error.hint

    def test_another_container_of_this_machine(self, config, runtime):
        """Its locks are this kernel's: one that is free is nobody's."""
        me = Identity.mine()
        who = replace(me, host="box", namespace="pid:[1]", pid=42)
        runtime.record(SUPERVISOR).write_text(json.dumps(who.to_dict()))
        with locked(runtime.lock(SUPERVISOR)), pytest.raises(AlreadySupervised, match="box"):
            check_startable(config, launchers=False)
        with locked(runtime.lock("zeo:mult")), pytest.raises(SupervisorLost):
            check_startable(config, launchers=False)
        check_startable(config, launchers=False)
        refuse_elsewhere(config)

    @pytest.mark.parametrize("takeover", [False, True])
    def test_starting_here(self, config, there, takeover):
        """A takeover needs a dead supervisor, and must be asked for."""
        with locked(there.lock(SUPERVISOR)), pytest.raises(AlreadySupervised):
            check_startable(config, launchers=False, takeover=takeover)
        with locked(there.lock("zeo:mult")), pytest.raises(SupervisorLost):
            check_startable(config, launchers=False, takeover=takeover)
        with nullcontext() if takeover else pytest.raises(SupervisorLost):
            check_startable(config, launchers=False, takeover=takeover)
