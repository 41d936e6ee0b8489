"""The heartbeat that other hosts see: judged by its changes, never by a clock."""

import threading

import pytest

from motoko.control import heartbeat
from motoko.control.heartbeat import Heartbeat, is_beating
from motoko.layout import Runtime


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    (tmp_path / ".wf").mkdir()
    monkeypatch.setattr(heartbeat, "is_shared", lambda path: False)
    return Runtime(tmp_path, tmp_path / ".wf")


def files(runtime):
    return [path.name for path in runtime.wf.iterdir() if path.is_file()]


def test_where_nobody_else_sees_it_nothing_is_written(runtime):
    Heartbeat(runtime).beat()
    assert files(runtime) == []


@pytest.mark.parametrize("reason", ["files that hosts share", "a channel"])
def test_it_changes_at_each_beat(runtime, monkeypatch, reason):
    if reason == "a channel":
        (runtime.wf / "channel").mkdir()
    else:
        monkeypatch.setattr(heartbeat, "is_shared", lambda path: True)
    beating = Heartbeat(runtime)
    texts = set()
    for _ in range(12):
        beating.beat()
        texts.add((runtime.wf / "heartbeat").read_text())
    assert len(texts) == 12 and len({len(text) for text in texts}) == 1
    beating.end()
    assert files(runtime) == []


def test_none_is_seen_at_once(runtime):
    assert is_beating(runtime, 1000.0) is False


def test_one_that_has_stopped_is_watched_for_a_while(runtime):
    (runtime.wf / "channel").mkdir()
    Heartbeat(runtime).beat()
    assert is_beating(runtime, 0.3) is False


def test_one_that_beats_is_seen(runtime):
    (runtime.wf / "channel").mkdir()
    beating, enough = Heartbeat(runtime), threading.Event()
    beating.beat()

    def go_on():
        while not enough.wait(0.05):
            beating.beat()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        assert is_beating(runtime, 60.0) is True
    finally:
        enough.set()
        thread.join()
