"""``motoko keys``: the key that other hosts come in with."""

import os
import subprocess

import pytest
from arrivals import AS_NOBODY, answers, bare, come_in, contexts, is_serving, let_in, message
from support import motoko_command, wait_until

from motoko.channel import keys
from motoko.channel.key_file import UnsafeKey
from motoko.layout import channel_directory


@pytest.fixture
def flow(workflow):
    made = let_in(workflow())
    made.supervise()
    return made


def test_shown_and_renewed(flow):
    """It is renewed under living connections, and without a supervisor."""
    done = flow.motoko("keys")
    present = keys.read(channel_directory(flow.directory))
    assert done.returncode == 0, done.stderr
    assert present.fingerprint in done.stdout and f"{present.ends:%Y-%m-%d}" in done.stdout
    assert "PRIVATE" not in done.stdout and "127.0.0.1" in done.stdout

    old = contexts(flow)
    name = old.server_name("zeo-mult")
    context = old.current()
    with come_in(flow) as connection:
        assert message(connection)
        done = flow.motoko("keys", "renew")
        assert done.returncode == 0, done.stderr
        # At once, without a restart: the old one is worth nothing, the new one is.
        with bare(flow) as raw, pytest.raises((OSError, ConnectionError)):
            context.wrap_socket(raw, server_hostname=name)
        assert is_serving(flow)
        # Who is there stays.
        connection.sendall(b"\0\0\0\4ruok")
        assert b"calls" in message(connection)
    assert "Traceback" not in flow.log("gate") + flow.log("zeo:mult")
    with come_in(flow, "control") as control:
        control.sendall(b'{"command": "status"}\n')
        assert b'"ready"' in control.recv(1 << 16)

    assert flow.motoko("kill", "--wait").returncode == 0
    before = keys.read(channel_directory(flow.directory))
    assert flow.motoko("keys", "renew").returncode == 0
    assert keys.read(channel_directory(flow.directory)) != before
    flow.supervise()
    with come_in(flow) as connection:
        assert answers(connection)


def test_where_there_is_none(workflow):
    flow = workflow()
    for arguments in (("keys",), ("keys", "renew")):
        done = flow.motoko(*arguments)
        assert done.returncode == 1 and "has no key" in done.stderr
    assert not channel_directory(flow.directory).exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_by_another_account(flow):
    flow.directory.chmod(0o755)
    for parent in list(flow.directory.parents)[:-2]:
        parent.chmod(parent.stat().st_mode | 0o055)
    before = keys.read(channel_directory(flow.directory))
    for action in ("renew", "show"):
        done = subprocess.run(
            [*AS_NOBODY, *motoko_command("keys", action, str(flow.directory))],
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": "/nonexistent"},
        )
        assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
        assert "another account" in done.stderr or "root" in done.stderr, done.stderr
    assert keys.read(channel_directory(flow.directory)) == before


def test_what_others_could_read(flow):
    """A key that others could read is reported at the next start; renewing it mends that."""
    path = channel_directory(flow.directory) / "key.pem"
    known = contexts(flow)
    name, context = known.server_name("zeo-mult"), known.current()
    path.chmod(0o644)
    with pytest.raises(UnsafeKey, match="others may read"):
        come_in(flow)
    with bare(flow) as raw, pytest.raises((OSError, ConnectionError)):
        context.wrap_socket(raw, server_hostname=name)
    wait_until(lambda: "others may read" in flow.log("gate"), "the gate says why")
    assert flow.motoko("kill", "--wait").returncode == 0
    done = flow.motoko("supervise", "--detach")
    assert done.returncode == 1 and "motoko keys renew" in done.stderr
    assert flow.motoko("keys", "renew").returncode == 0
    flow.supervise()
    assert is_serving(flow)
