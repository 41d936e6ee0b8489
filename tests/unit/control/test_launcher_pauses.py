"""When launchers are signalled that are to be paused or resumed."""

import pytest

from motoko.control.launcher_pauses import PauseSignals


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
