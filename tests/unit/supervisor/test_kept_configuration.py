"""Which configuration adopted daemons have."""

from dataclasses import replace

from configs import make_workflow

from motoko.config import load, snapshot
from motoko.config.config_changes import SUPERVISOR, pending
from motoko.layout import Runtime
from motoko.supervisor import supervising


def test_daemons_hardly_older_than_the_supervisor_that_adopts_them(tmp_path, monkeypatch):
    config = load(make_workflow(tmp_path))
    runtime = Runtime(tmp_path, tmp_path / ".wf")
    runtime.wf.mkdir()
    for slots, at in ((1, 990.0), (2, 1000.0)):
        monkeypatch.setattr(supervising, "started_at", lambda who, at=at: at)
        supervising._keep_snapshot(replace(config, slots=slots), runtime)
    taken = snapshot.read(runtime.snapshot, config.path)
    started = {"launcher:mult": 999.7, "launcher:norm": 1000.4, SUPERVISOR: 1000.0}
    assert [(change.key, change.daemons) for change in pending(taken, started)] == [
        ("slots", ("launcher:mult",))
    ]
