"""``supervisor:`` in motoko.yaml: what is accepted, what is refused, and who takes it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from support import write_workflow

from motoko.config import load
from motoko.config.daemon_kinds import of_workflow
from motoko.config.supervision import Supervision
from motoko.errors import ConfigError
from motoko.operations.daemon_switches import daemon_names
from motoko.supervisor import watchdog
from motoko.supervisor.daemon_specs import all_daemons
from motoko.supervisor.table import State

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def settings(tmp_path):
    """Loads a workflow with some text below ``supervisor:``."""
    flow = write_workflow(tmp_path / "wf", ("add", "mult"))
    text = flow.path.read_text()

    def make(below: str):
        flow.path.write_text(f"{text}supervisor:{below}")
        return load(flow.path)

    return make


@pytest.mark.parametrize("text", ["", " {}", "\n  nice:\n  max_rss: ~\n  log_size:\n"])
def test_nothing_said_means_the_defaults(settings, text):
    config = settings(text)
    assert config.supervision == Supervision() and not config.warnings


def test_one_value_is_for_all_kinds(settings):
    found = settings("\n  nice: 10\n  max_rss: 1.5GB\n  stop_timeout: 7\n").supervision
    assert found.nice == dict.fromkeys(of_workflow(), 10)
    assert found.max_rss == dict.fromkeys(of_workflow(), 1_500_000_000)
    assert found.stop_timeout == dict.fromkeys(of_workflow(), 7.0)


def test_kinds_have_their_own(settings):
    found = settings(
        "\n  nice: {launcher: 19}\n  max_rss: {watcher: 500 MB}\n  stop_timeout: {zeo: 20}\n"
    ).supervision
    assert found.nice == {**dict.fromkeys(of_workflow(), 0), "launcher": 19}
    assert found.max_rss == {**dict.fromkeys(of_workflow()), "watcher": 500_000_000}
    assert found.stop_timeout == {**Supervision().stop_timeout, "zeo": 20.0}


def test_the_others(settings):
    found = settings(
        "\n  log_size: 20KB\n  log_files: 7\n  attempts: 2\n  backoff_min: 1\n  backoff_max: 2.5\n"
        "  start_timeout: 120\n  silence: 30\n"
    ).supervision
    changed = msgspec.structs.replace(
        Supervision(),
        log_size=20_000,
        log_files=7,
        attempts=2,
        backoff_min=1.0,
        backoff_max=2.5,
        start_timeout=120.0,
        silence=30.0,
    )
    assert found == changed
    assert found.started_s == 240.0


def test_the_longest_delay_is_never_shorter_than_the_first(settings):
    assert settings("\n  backoff_min: 60\n").supervision.backoff_max == 60.0


BAD = {
    "a list": (" [nice]", "supervisor", "a mapping", "indented"),
    "nice, negative": ("\n  nice: -1\n", "supervisor.nice", "-1", "0 is as usual"),
    "nice, too much": ("\n  nice: 20\n", "supervisor.nice", "from 0 to 19", "19"),
    "nice, text": ("\n  nice: low\n", "supervisor.nice", "'low'", ""),
    "nice, yes": ("\n  nice: yes\n", "supervisor.nice", "True", ""),
    "nice of a kind": ("\n  nice: {bus: 1.5}\n", "supervisor.nice.bus", "1.5", ""),
    "no kind": ("\n  nice: {laucher: 1}\n", "supervisor.nice.laucher", "no kind", "'launcher'"),
    "unlike any kind": ("\n  nice: {xyz: 1}\n", "supervisor.nice.xyz", "no kind", "zeo, bus"),
    "kind is a number": ("\n  nice: {1: 1}\n", "supervisor.nice.1", "a string", "quotes"),
    "size without unit": ("\n  max_rss: 500\n", "supervisor.max_rss", "such as 500MB", "MB"),
    "size, other unit": ("\n  max_rss: 500 Mo\n", "supervisor.max_rss", "'500 Mo'", "MB"),
    "size, too small": ("\n  max_rss: 1MB\n", "supervisor.max_rss", "at least 10MB", ""),
    "log, too small": ("\n  log_size: 0.5KB\n", "supervisor.log_size", "at least 1KB", ""),
    "no files": ("\n  log_files: 0\n", "supervisor.log_files", "at least 1", ""),
    "no attempts": ("\n  attempts: 0\n", "supervisor.attempts", "at least 1", ""),
    "no delay": ("\n  backoff_min: 0\n", "supervisor.backoff_min", "at least 0.1", ""),
    "delay is nan": ("\n  backoff_min: .nan\n", "supervisor.backoff_min", "nan", ""),
    "delay is infinite": ("\n  backoff_max: .inf\n", "supervisor.backoff_max", "finite", ""),
    "max < min": ("\n  backoff_min: 9\n  backoff_max: 8\n", "supervisor.backoff_max", "9", ""),
    "impatient": ("\n  start_timeout: 0.5\n", "supervisor.start_timeout", "at least 1", ""),
    "shorter than beats": ("\n  silence: 8\n", "supervisor.silence", "at least 10", ""),
    "no time to stop": ("\n  stop_timeout: {bus: 0}\n", "supervisor.stop_timeout.bus", "1", ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "key", "problem", "hint"), BAD.values(), ids=BAD)
def test_bad_values(settings, tmp_path, text, key, problem, hint):
    with pytest.raises(ConfigError) as caught:
        settings(text)
    assert str(caught.value).startswith(f"{tmp_path}/wf/motoko.yaml: {key}: ")
    assert problem in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_code == 2 and hint in (caught.value.hint or "")


def test_unknown_keys_are_warned_about(settings):
    config = settings("\n  max_rrs: 1GB\n  colour: blue\n")
    assert config.warnings == (
        "motoko.yaml: supervisor: unknown key 'max_rrs' (did you mean 'max_rss'?)",
        "motoko.yaml: supervisor: unknown key 'colour'",
    )


def test_every_setting_is_documented():
    text = (DOCS / "motoko-yaml.md").read_text()
    for name in Supervision.__struct_fields__:
        assert f"| `{name}` |" in text, name


def test_orders_of_stopping():
    found = Supervision()
    kinds = ["orchestrator", "launcher", "watcher", "notifier", "relay", "zeo", "gate", "bus"]
    assert [group.kind for group in found.stop_order] == kinds
    assert [group.kind for group in found.leave_order] == kinds
    # Only the end of the whole workflow ends runs.
    assert {group.signal for group in found.stop_order[:2]} == {signal.SIGUSR1}
    assert {group.signal for group in (*found.leave_order, *found.stop_order[2:])} == {
        signal.SIGTERM
    }
    assert [group.deadline for group in found.stop_order] == [5.0, 15.0, 5.0, 12.0, *[5.0] * 4]


def test_the_names_that_commands_know_are_the_supervisor_s(settings):
    config = settings("")
    assert set(daemon_names(config)) == {spec.name for spec in all_daemons(config)}
    assert len(daemon_names(config)) == 7
    kept = settings("\npatience: 5m")
    assert set(daemon_names(kept)) == {spec.name for spec in all_daemons(kept)}
    assert {"relay:mult", "relay:add"} <= set(daemon_names(kept))


def test_too_big_daemons_are_restarted_once_in_a_while(monkeypatch):
    """Only those of a kind with a limit, that are ready, and not again at once."""
    restarted = []
    limits = Supervision(max_rss={**dict.fromkeys(of_workflow()), "watcher": 10_000_000})

    def member(kind, state=State.READY):
        child = SimpleNamespace(identity=SimpleNamespace(pid=os.getpid()))
        entry = SimpleNamespace(state=state)
        return SimpleNamespace(
            spec=SimpleNamespace(kind=kind), child=child, entry=entry, shrunk=0.0, name=kind
        )

    async def checks():
        watcher, bus = member("watcher"), member("bus")
        crew = SimpleNamespace(
            members={"watcher": watcher, "bus": bus, "late": member("watcher", State.STARTING)},
            hung=None,
            too_big=lambda who, why: restarted.append((who.name, why)),
        )
        dog = watchdog.Watchdog(limits, crew, "", lambda: 0.0)
        dog._check_memory()
        dog._check_memory()
        assert len(restarted) == 1
        watcher.shrunk -= watchdog.MEMORY_PAUSE_S + 1
        dog._check_memory()

    asyncio.run(checks())
    assert [name for name, _ in restarted] == ["watcher", "watcher"]
    assert restarted[0][1].endswith(" MB (max_rss: 10 MB)")
