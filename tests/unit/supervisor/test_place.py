"""Whether a supervisor still has its workflow."""

import json
from dataclasses import replace

import pytest

from motoko.control import heartbeat
from motoko.control.daemon_records import SUPERVISOR
from motoko.host.files import kept_file
from motoko.host.identity import Identity
from motoko.layout import Runtime
from motoko.supervisor.other_host import forget_other_host
from motoko.supervisor.place import Place


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "is_shared", lambda path: True)
    runtime = Runtime(tmp_path, tmp_path / ".wf")
    for name in ("locks", "daemons"):
        (runtime.wf / name).mkdir(parents=True)
    runtime.lock(SUPERVISOR).touch()
    note(runtime, SUPERVISOR, Identity.mine())
    return runtime


def note(runtime, name, who):
    runtime.record(name).write_text(json.dumps({**who.to_dict(), "name": name}))


@pytest.fixture
def place(runtime):
    place = Place(runtime)
    yield place
    place.close()


def test_it_is_ours_and_others_see_that(runtime, place):
    assert place.lost() is None
    assert (runtime.wf / "heartbeat").exists()


def test_another_host_has_taken_over(runtime, place):
    """A supervisor that was frozen or cut off writes nothing after another host's takeover."""
    note(runtime, SUPERVISOR, replace(Identity.mine(), host="login2", boot_id="its own", pid=7))
    lost = place.lost()
    assert lost.why == "login2 has taken the workflow over (pid 7)"
    assert not lost.is_deleted and "supervised on login2 now" in lost.hint
    assert not (runtime.wf / "heartbeat").exists()


def test_a_record_that_is_gone_is_nobody_s(runtime, place):
    runtime.record(SUPERVISOR).unlink()
    assert place.lost() is None


def test_a_record_is_removed_by_who_has_written_it(tmp_path):
    path = tmp_path / "zeo-mult.json"
    with kept_file(path, "ours"):
        path.write_text("of the host that has taken over")
    assert path.read_text() == "of the host that has taken over"
    with kept_file(path, "ours"):
        pass
    assert not path.exists()


def test_what_is_true_of_the_other_host_is_forgotten(runtime):
    config, lines = FakeConfig(runtime.directory), []
    there = replace(Identity.mine(), host="head", boot_id="its own", pid=7)
    note(runtime, "zeo:mult", there)
    note(runtime, "zeo:add", Identity.mine())
    for name in ("config.json", "restarts.json", "paused.json"):
        (runtime.wf / name).touch()
    forget_other_host(config, runtime, lines.append)
    assert not lines and runtime.record("zeo:mult").exists()
    note(runtime, SUPERVISOR, there)
    forget_other_host(config, runtime, lines.append)
    assert lines == ["taken over from head (pid 7)"]
    assert [path.name for path in runtime.wf.rglob("*.json")] == ["zeo-add.json"]


class FakeConfig:
    """As much of a workflow as is asked for."""

    def __init__(self, directory):
        self.directory, self.path = directory, directory / "motoko.yaml"
