"""What has changed in the files, and what has to be restarted before it counts."""

from __future__ import annotations

import pytest
from support import write_workflow

from motoko.config import load
from motoko.config.config_changes import SUPERVISOR, changes, pending
from motoko.config.snapshot import extended

BOTH = ("launcher:add", "launcher:mult")
ALL = {*BOTH, "zeo:add", "zeo:mult", "bus", "watcher", SUPERVISOR}


@pytest.fixture
def flow(tmp_path):
    return write_workflow(tmp_path / "wf", ("add", "mult"))


def changed(flow, old: str, new: str, name: str = "motoko.yaml"):
    """The configurations before and after an edit."""
    before = load(flow.path)
    path = flow.directory / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return before, load(flow.path)


def appended(flow, text: str):
    return changed(flow, "orchestrator: ", f"{text}\norchestrator: ")


def test_nothing(flow):
    config = load(flow.path)
    assert changes(config, load(flow.path)) == []


@pytest.mark.parametrize(
    "text",
    ["retries: 0", "generator: bashCoat", "supervisor: {nice: 0}", "batch:", "slots:", "# x"],
)
def test_what_amounts_to_the_same(flow, text):
    assert changes(*appended(flow, text)) == []


@pytest.mark.parametrize(
    ("text", "key", "daemons"),
    [
        ("slots: 3", "slots", BOTH),
        ("retries: 3", "retries", BOTH),
        ("environment: {A: 1}", "environment", BOTH),
        ("slurm_options: [time=3]", "slurm_options", BOTH),
        ("generator: slurm", "generator", BOTH),
        ("batch: {max_submitted: 3}", "batch.max_submitted", BOTH),
        ("supervisor: {nice: {bus: 3}}", "supervisor.nice", ("bus",)),
        ("supervisor: {nice: {zeo: 3}}", "supervisor.nice", ("zeo:add", "zeo:mult")),
        ("supervisor: {log_files: 9}", "supervisor.log_files", tuple(sorted(ALL))),
        ("patience: 1m", "patience", (SUPERVISOR,)),
        ("supervisor: {max_rss: 1GB}", "supervisor.max_rss", (SUPERVISOR,)),
        ("supervisor: {restart: never}", "supervisor.restart", ()),
        ("aliases: {first: mult}", "aliases", ()),
        ("bash_options: [a]", "", None),
        ("mine: 3", "mine", ()),
    ],
)
def test_keys_of_the_workflow(flow, text, key, daemons):
    found = [(change.key, change.daemons) for change in changes(*appended(flow, text))]
    assert found == ([] if daemons is None else [(key, daemons)])


def test_keys_of_a_study(flow):
    before, after = changed(flow, "  add:", "  add: {retries: 1, insecure_tcp: true, mine: 3}")
    assert [(change.key, change.daemons) for change in changes(before, after)] == [
        ("task_managers.add.insecure_tcp", ()),
        ("task_managers.add.mine", ()),
        ("task_managers.add.retries", ("launcher:add",)),
    ]
    # It has its own, and is not concerned.
    (change,) = changes(*appended(flow, "retries: 4"))
    assert (change.key, change.daemons) == ("retries", ("launcher:mult",))


def test_bd_yaml(flow):
    before, after = changed(flow, "x: float", "x: int\nrun_params: {n: 1}", "mult/bd.yaml")
    found = changes(before, after)
    assert [change.key for change in found] == ["mult/bd.yaml: job", "mult/bd.yaml: run_params"]
    assert all(change.daemons == () and not change.reaches_supervisor for change in found)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("  add:\n", "", "task_managers.add"),
        ("  add:", "  add: {host: 'zeo:///elsewhere'}", "task_managers.add.host"),
        ("  add:", "runtime_dir: run\n  add:", "runtime_dir"),
    ],
)
def test_what_reaches_the_supervisor(flow, old, new, key):
    if key == "runtime_dir":
        old, new = "orchestrator: ", "runtime_dir: run\norchestrator: "
    before, after = changed(flow, old, new)
    for found in (changes(before, after), changes(after, before)):
        assert [change.key for change in found if change.reaches_supervisor] == [key]
        assert "motoko kill" in found[0].to_do


def test_host_that_stays_here(flow):
    before, after = changed(flow, "  add:", "  add: {host: 'zeo://localhost:8765'}")
    (change,) = changes(before, after)
    assert change.daemons == ("launcher:add", "zeo:add") and not change.reaches_supervisor


def test_what_to_do(flow):
    texts = {
        "slots: 3": "counts after `motoko restart launcher:add launcher:mult`",
        "slots: 3\nsupervisor: {attempts: 9}": "counts after `motoko restart",
        "mine: 3": "counts for orchestrators and commands that are started from now on",
    }
    before = load(flow.path)
    text = flow.path.read_text()
    for added, expected in texts.items():
        flow.path.write_text(f"{text}{added}\n")
        assert changes(before, load(flow.path))[0].to_do.startswith(expected)
    flow.path.write_text(f"{text}supervisor: {{attempts: 9}}\n")
    (change,) = changes(before, load(flow.path))
    assert change.to_do == "counts after `motoko kill --wait` and `motoko supervise`"


def test_pending_until_the_daemons_are_restarted(flow):
    first, second = appended(flow, "slots: 3\nsupervisor: {attempts: 9}\nmine: 3")
    _, third = appended(flow, "aliases: {a: mult}")
    snapshot = extended(extended(extended(None, first, 10.0), second, 20.0), third, 30.0)
    started = {"launcher:add": 25.0, "launcher:mult": 11.0, "bus": 11.0, SUPERVISOR: 10.0}
    assert [(change.key, change.daemons) for change in pending(snapshot, started)] == [
        ("slots", ("launcher:mult",)),
        ("supervisor.attempts", (SUPERVISOR,)),
    ]
    started |= {"launcher:mult": 40.0, SUPERVISOR: 39.0}
    assert pending(snapshot, started) == []


def test_what_was_taken_back_is_not_pending(flow):
    first, second = appended(flow, "slots: 3")
    snapshot = extended(extended(extended(None, first, 10.0), second, 20.0), first, 30.0)
    assert pending(snapshot, {"launcher:add": 11.0}) == []
    assert [change.key for change in pending(snapshot, {"launcher:add": 21.0})] == ["slots"]
