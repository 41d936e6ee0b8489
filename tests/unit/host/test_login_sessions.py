"""Whether processes are ended at logout, by systemd's files."""

import pytest

from motoko.host.login_sessions import are_ended, ends

YES = "[Login]\nKillUserProcesses=yes\n"


@pytest.mark.parametrize(
    ("texts", "ended"),
    [
        ([], False),
        (["#KillUserProcesses=yes\n"], False),
        ([YES], True),
        ([YES, "KillUserProcesses = no\n"], False),
        ([YES + "KillExcludeUsers=root me\n"], False),
        ([YES + "KillOnlyUsers=you\n"], False),
        ([YES + "KillOnlyUsers=you me\n"], True),
    ],
)
def test_texts(texts, ended):
    assert ends("me", texts) is ended


def test_files(tmp_path):
    """Drop-ins count, one of the same name replaces another, and lingering saves."""
    for place, text in (
        ("etc/systemd/logind.conf", "KillUserProcesses=no\n"),
        ("usr/lib/systemd/logind.conf.d/kill.conf", YES),
    ):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(text)
    assert not are_ended("me", tmp_path)  # systemd does not run
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert are_ended("me", tmp_path) and not are_ended("root", tmp_path)
    linger = tmp_path / "var/lib/systemd/linger/me"
    linger.parent.mkdir(parents=True)
    linger.touch()
    assert not are_ended("me", tmp_path)
    linger.unlink()
    (tmp_path / "etc/systemd/logind.conf.d").mkdir()
    (tmp_path / "etc/systemd/logind.conf.d/kill.conf").write_text("")
    assert not are_ended("me", tmp_path)
