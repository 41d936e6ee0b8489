"""``notify:`` in motoko.yaml."""

import pytest

from motoko.config import load
from motoko.errors import ConfigError

SECRET = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"


@pytest.fixture
def loaded(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "bd.yaml").write_text("study: s\njob: {x: int}\n")
    (tmp_path / "s" / "launch.sh").write_text("true\n")
    (tmp_path / "s" / "doIt.py").touch()

    def load_with(notify):
        (tmp_path / "motoko.yaml").write_text(
            f"task_managers: {{s: }}\norchestrator: orchestrator.main\nnotify: {notify}\n"
        )
        return load(tmp_path)

    return load_with


def test_settings(loaded):
    config = loaded("{command: \"mail -s 'a b' me\", events: [failed], stalled_after: 1:00:00}")
    notices = config.notices
    assert notices.command == ("mail", "-s", "a b", "me") and notices.events == ("failed",)
    assert notices.stalled_after == 3600.0 and notices.is_on and "notifier" in config.daemons
    assert loaded("{command: [mail, -n, 3]}").notices.command == ("mail", "-n", "3")
    assert loaded("{urls: env:MY_URL}").notices.urls == ("env:MY_URL",)
    nobody = loaded("{}")
    assert not nobody.notices.is_on and "notifier" not in nobody.daemons


@pytest.mark.parametrize(
    ("notify", "words"),
    [
        ("{command: []}", "notify.command"),
        ("{command: 'a \"b'}", "notify.command"),
        ("{events: [finish]}", "notify.events"),
        ("{stalled_after: 5}", "notify.stalled_after"),
        ("{disk_free: much}", "notify.disk_free"),
    ],
)
def test_wrong_settings(loaded, notify, words):
    with pytest.raises(ConfigError, match=words):
        loaded(notify)


@pytest.mark.parametrize(
    "urls", [SECRET, f"[{SECRET}]", f"[env:X, {SECRET}]", f"{{a: {SECRET}}}", f"['env:', {SECRET}]"]
)
def test_an_address_is_refused_and_not_shown(loaded, urls):
    with pytest.raises(ConfigError, match=r"notify\.urls") as caught:
        loaded(f"{{urls: {urls}}}")
    assert "JHMHI8" not in f"{caught.value} {caught.value.hint}"
