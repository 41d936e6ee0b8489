"""When launchers are signalled that are to be paused or resumed."""

from types import SimpleNamespace

import pytest
from msgspec import structs

from motoko.control.launcher_pauses import (
    SILENT_S,
    Pause,
    PauseSignals,
    is_paused,
    this_process,
)
from motoko.layout import Runtime
from motoko.supervisor import pausing


class Toggling:
    """A launcher of old: each signal turns it."""

    paused = False

    def signalled(self, wanted):
        self.paused = not self.paused


class Looking(Toggling):
    """A launcher that looks at what is wanted."""

    def signalled(self, wanted):
        self.paused = wanted


@pytest.mark.parametrize("launcher", [Toggling, Looking])
@pytest.mark.parametrize("wishes", ["1", "11", "10", "101", "1100", "1010011"])
def test_it_does_what_is_wanted_last(launcher, wishes):
    signals, launcher = PauseSignals(), launcher()
    for wish in wishes:
        wanted = wish == "1"
        stale = launcher.paused
        if signals.is_due(7, says=stale, wanted=wanted):
            # What it had said before it was signalled is heard once more.
            assert not signals.is_due(7, says=stale, wanted=wanted)
            launcher.signalled(wanted)
    for _ in range(3):
        if signals.is_due(7, says=launcher.paused, wanted=wanted):
            launcher.signalled(wanted)
    assert launcher.paused == wanted
    assert not signals.is_due(7, says=launcher.paused, wanted=wanted)


def test_another_process_is_signalled_anew():
    signals = PauseSignals()
    assert signals.is_due(7, says=False, wanted=True)
    assert not signals.is_due(7, says=False, wanted=True)
    assert signals.is_due(8, says=False, wanted=True)


def test_who_holds_a_pause():
    """Living processes of this host hold a pause; for another host's the supervisor is asked."""
    here = this_process()
    there = structs.replace(here, host="login2", boot_id="its own")
    assert Pause(here).holds and not Pause(here).is_elsewhere
    assert not Pause(structs.replace(here, start_ticks=1)).holds
    assert Pause(there).holds and Pause(there).is_elsewhere


def test_one_of_another_host_asks_again_or_is_gone(tmp_path, monkeypatch):
    (tmp_path / ".wf").mkdir()
    runtime = Runtime(tmp_path, tmp_path / ".wf")
    there = structs.replace(this_process(), host="login2", boot_id="its own")
    now = [1000.0]
    monkeypatch.setattr(pausing, "time", SimpleNamespace(monotonic=lambda: now[0]))
    launcher = SimpleNamespace(
        spec=SimpleNamespace(kind="launcher", study="mult"), counts={}, child=None
    )
    keeping = pausing.Pausing(runtime, {})
    keeping.pause(there, None)
    for _ in range(3):
        now[0] += SILENT_S - 1
        keeping.look(launcher)
        assert is_paused(runtime, "mult")
        keeping.pause(there, None)
    now[0] += SILENT_S + 1
    keeping.look(launcher)
    assert not is_paused(runtime, "mult")
