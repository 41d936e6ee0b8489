"""What hosts say of themselves: since when they are up."""

import json
import socket
from dataclasses import replace

import pytest

from motoko.host.identity import Identity
from motoko.runs.boots import has_rebooted, note_boot, noted_boot
from motoko.runs.claims import Where, read_claim
from motoko.runs.paths import claim_path


@pytest.fixture
def directory(tmp_path):
    (tmp_path / ".wf").mkdir()
    return tmp_path


@pytest.fixture
def there():
    """A process of another host."""
    return replace(Identity.mine(), host="head", boot_id="the first boot")


def say(directory, host, boot):
    (directory / ".wf" / "hosts").mkdir(exist_ok=True)
    path = directory / ".wf" / "hosts" / f"{host}.json"
    path.write_text(json.dumps({"host": host, "boot_id": boot}))


def test_a_host_is_noted_where_the_workflow_is_supervised(directory):
    note_boot(directory)
    assert not (directory / ".wf" / "hosts").exists()  # nobody has asked this one
    note_boot(directory, new=True)
    me = socket.gethostname()
    assert noted_boot(directory, me) == Identity.mine().boot_id
    say(directory, me, "before")
    note_boot(directory)
    assert noted_boot(directory, me) == Identity.mine().boot_id


def test_nothing_is_known_of_a_host_that_says_nothing(directory, there):
    assert not has_rebooted(directory, there)
    say(directory, "head", "the first boot")
    assert not has_rebooted(directory, there)


def test_a_host_that_was_started_again(directory, there):
    say(directory, "head", "the second boot")
    assert has_rebooted(directory, there)
    assert not has_rebooted(directory, replace(there, host="head2"))
    assert not has_rebooted(directory, Identity.mine())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot_id": 3}'])
def test_what_is_no_note_says_nothing(directory, there, text):
    say(directory, "head", "x")
    (directory / ".wf" / "hosts" / "head.json").write_text(text)
    assert not has_rebooted(directory, there)


def test_a_claim_of_a_host_that_was_started_again(directory, there):
    """Nothing of it lives: it was interrupted, and is waited for no more."""
    run = directory / "run-1"
    run.mkdir()
    claim_path(run, 1).parent.mkdir(exist_ok=True)
    stat = " ".join(["7", "(bash)", "S", *map(str, range(18)), "5000", "0", "0"])
    claim_path(run, 1).write_text(f"the first boot\n{stat}\nhead\npid:[1]\n")
    assert read_claim(run, 1, directory).where is Where.ELSEWHERE
    say(directory, "head", "the second boot")
    assert read_claim(run, 1, directory).where is Where.REBOOTED
    assert read_claim(run, 1).where is Where.ELSEWHERE
