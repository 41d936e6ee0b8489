"""The workflow's one key and certificate, which both sides of the channel show and trust.

One file holds both, so that they are never read from two generations. Who can read it can do what
the workflow's owner can: it is the owner's alone.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from motoko.channel.key_file import check_private, key_path
from motoko.host.locks import locked

VALID = datetime.timedelta(days=365)
BEFORE = datetime.timedelta(days=2)  # the clocks of hosts differ
RENEWED_BEFORE = datetime.timedelta(days=30)  # its end


class Certificate(NamedTuple):
    """What may be shown of a certificate.

    Attributes:
        begins, ends: when it is valid, in UTC.
        fingerprint: of its SHA-256, in hexadecimal digits.
    """

    begins: datetime.datetime
    ends: datetime.datetime
    fingerprint: str

    def is_due(self, now: datetime.datetime) -> bool:
        """Whether it is to be replaced: it ends soon, or begins later."""
        return now < self.begins or self.ends - now < RENEWED_BEFORE


def read(directory: Path) -> Certificate | None:
    """What the present certificate is; ``None`` if there is none that can be used."""
    from cryptography import x509

    try:
        data = key_path(directory).read_bytes()
        certificate = x509.load_pem_x509_certificate(data)
        der = ssl.PEM_cert_to_DER_cert(_certificate_in(data))
    except (OSError, ValueError):
        return None
    return Certificate(
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        hashlib.sha256(der).hexdigest(),
    )


def _certificate_in(data: bytes) -> str:
    begin = data.index(b"-----BEGIN CERTIFICATE-----")
    return data[begin:].decode("ascii")


def ensure(directory: Path) -> Certificate:
    """Have a key that can be used for the next weeks, made now if there is none.

    Of several processes that want it at once, one makes it.
    """
    with _alone(directory):
        present = read(directory)
        if present is not None and not present.is_due(_now()):
            check_private(key_path(directory))
            return present
        return _make(directory)


def renew(directory: Path) -> Certificate:
    """Make another key and certificate; the present ones are worth nothing from then on.

    Connections that exist go on. Raises ``OSError`` if it cannot be written.
    """
    with _alone(directory):
        return _make(directory)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _alone(directory: Path) -> AbstractContextManager[None]:
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)
    return locked(directory / "making")


def _make(directory: Path) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    number = x509.random_serial_number()
    # A name of its own: certificates of other workflows are told apart before they are verified.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"motoko {number:040x}"[:47])])
    begins, ends = _now() - BEFORE, _now() + VALID
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    _write(key_path(directory), text)
    made = read(directory)
    assert made is not None  # it was just written
    return made


def _write(path: Path, data: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
