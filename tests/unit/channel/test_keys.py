"""The channel's key: made once, the owner's alone, replaced in time."""

import datetime
import stat
import threading

import pytest

from motoko.channel import key_file, keys
from motoko.channel.key_file import UnsafeKey, check_private, key_path
from motoko.channel.tls import Contexts

YEAR = datetime.timedelta(days=365)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "channel"


def test_it_is_the_owners_alone(directory):
    keys.ensure(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(key_path(directory).stat().st_mode) == 0o600
    check_private(key_path(directory))


def test_a_directory_that_others_may_enter_is_closed_to_them(directory):
    directory.mkdir(mode=0o755)
    keys.ensure(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_it_is_made_once(directory):
    assert keys.ensure(directory) == keys.ensure(directory) == keys.read(directory)


def test_makers_do_not_race(directory):
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(keys.ensure(directory))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def test_clocks_may_differ(directory):
    now = datetime.datetime.now(datetime.UTC)
    certificate = keys.ensure(directory)
    assert certificate.begins < now - datetime.timedelta(days=1)
    assert now + YEAR - datetime.timedelta(days=1) < certificate.ends < now + YEAR


@pytest.mark.parametrize(
    ("days", "is_due"), [(0, False), (330, False), (336, True), (400, True), (-3, True)]
)
def test_when_it_is_due(directory, days, is_due):
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    assert keys.ensure(directory).is_due(later) is is_due


def test_what_is_due_is_replaced(directory, monkeypatch):
    first = keys.ensure(directory)
    monkeypatch.setattr(keys, "RENEWED_BEFORE", 2 * YEAR)
    assert keys.ensure(directory).fingerprint != first.fingerprint


def test_renewing(directory):
    first = keys.ensure(directory)
    second = keys.renew(directory)
    assert second.fingerprint != first.fingerprint
    assert keys.ensure(directory) == second


def test_what_is_no_key_is_replaced(directory):
    keys.ensure(directory)
    key_path(directory).write_text("-----BEGIN CERTIFICATE-----\n")
    assert keys.read(directory) is None
    assert keys.ensure(directory) == keys.read(directory)


def test_nothing_else_is_left(directory):
    keys.ensure(directory)
    keys.renew(directory)
    assert {path.name for path in directory.iterdir()} == {"key.pem", "making"}


def test_what_others_could_read_is_not_used(directory):
    keys.ensure(directory)
    key_path(directory).chmod(0o640)
    with pytest.raises(UnsafeKey, match="others may read"):
        keys.ensure(directory)
    with pytest.raises(UnsafeKey, match="others may read"):
        Contexts(directory, server=True).current()
    keys.renew(directory)
    Contexts(directory, server=True).current()


def test_of_another_account(directory, monkeypatch):
    keys.ensure(directory)
    monkeypatch.setattr(key_file.os, "getuid", lambda: 4711)
    with pytest.raises(UnsafeKey, match="another account"):
        check_private(key_path(directory))


def test_none(directory):
    assert keys.read(directory) is None
    with pytest.raises(UnsafeKey, match="there is no"):
        Contexts(directory, server=False).current()
