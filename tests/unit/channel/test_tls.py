"""Handshakes, without a network: who is let in, and who is not."""

import datetime
import socket
import ssl

import pytest

from motoko.channel import keys
from motoko.channel.key_file import key_path
from motoko.channel.tls import Contexts, keep_alive

LIMIT = 20


@pytest.fixture
def directory(tmp_path):
    keys.ensure(tmp_path / "channel")
    return tmp_path / "channel"


def shaken(server_context, client_context, name="0123456789abcdef"):
    """Both sides of a connection after the handshake and a byte each way."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    pending = {client.do_handshake, server.do_handshake}
    for _ in range(LIMIT):
        for step in list(pending):
            try:
                step()
            except ssl.SSLWantReadError:
                continue
            pending.discard(step)
    assert not pending
    client.write(b"?")
    assert server.read(1) == b"?"
    server.write(b"!")
    assert client.read(1) == b"!"
    return server, client


def current(directory, *, server):
    return Contexts(directory, server=server).current()


def test_both_know_each_other(directory):
    server, client = shaken(current(directory, server=True), current(directory, server=False))
    assert server.version() == client.version() == "TLSv1.3"
    assert server.getpeercert(True) == client.getpeercert(True) is not None


def test_nobody_without_a_certificate(directory):
    naked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    naked.check_hostname, naked.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="did not return a certificate"):
        shaken(current(directory, server=True), naked)


def test_nobody_with_an_older_protocol(directory):
    older = current(directory, server=False)
    older.minimum_version = ssl.TLSVersion.TLSv1_2
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        shaken(current(directory, server=True), older)


def test_nobody_with_another_workflows_key(directory, tmp_path):
    keys.ensure(tmp_path / "other")
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    trusting.load_cert_chain(key_path(tmp_path / "other"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(current(directory, server=True), trusting)
    with pytest.raises(ssl.SSLCertVerificationError):  # nor does a client talk to a stranger
        shaken(current(directory, server=True), current(tmp_path / "other", server=False))


@pytest.mark.parametrize("shift", [-400, 400])
def test_nobody_out_of_time(directory, tmp_path, monkeypatch, shift):
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=shift)
    monkeypatch.setattr(keys, "_now", lambda: now)
    keys.renew(directory)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"expired|not yet valid"):
        shaken(current(directory, server=True), current(directory, server=False))


def test_nobody_whom_a_holder_of_the_key_has_signed(directory, tmp_path):
    """The certificate is no authority: it is itself what is trusted."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    data = key_path(directory).read_bytes()
    ours = x509.load_pem_x509_certificate(data)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signed")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ours.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ours.not_valid_before_utc)
        .not_valid_after(ours.not_valid_after_utc)
        .sign(serialization.load_pem_private_key(data, None), hashes.SHA256())
    )
    path = tmp_path / "signed.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.load_cert_chain(path)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(current(directory, server=True), client)


def test_a_renewed_key_counts_at_once(directory):
    server, client = Contexts(directory, server=True), Contexts(directory, server=False)
    old = client.current()
    assert client.current() is old
    shaken(server.current(), old)
    keys.renew(directory)
    with pytest.raises(ssl.SSLError):
        shaken(server.current(), old)
    shaken(server.current(), client.current())


def test_names_of_servers(directory, tmp_path):
    """Both sides derive the same server name, which needs the key."""
    server, client = Contexts(directory, server=True), Contexts(directory, server=False)
    name = client.server_name("zeo-" + "x" * 200)
    assert name == server.server_name("zeo-" + "x" * 200) != client.server_name("control")
    assert len(name) == 32
    keys.ensure(tmp_path / "other")
    assert Contexts(tmp_path / "other", server=False).server_name("control") != client.server_name(
        "control"
    )
    before = client.server_name("control")
    keys.renew(directory)
    assert server.server_name("control") == client.server_name("control") != before


def test_a_peer_that_is_gone_is_noticed():
    with socket.socket() as connection:
        keep_alive(connection)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000
