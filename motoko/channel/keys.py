"""The workflow's one key and certificate, which both sides of the channel show and trust.

One file holds both, so that nobody reads them from two generations. An account that can read the
file can do what the workflow's owner can: so only the owner may read it.
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
RENEWED_BEFORE = datetime.timedelta(days=30)  # this long before its end


class Certificate(NamedTuple):
    """The part of a certificate that may be shown.

    Attributes:
        begins, ends: from when to when it is valid, in UTC.
        fingerprint: its SHA-256, in hexadecimal digits.
    """

    begins: datetime.datetime
    ends: datetime.datetime
    fingerprint: str

    def is_due(self, now: datetime.datetime) -> bool:
        """Whether it must be replaced: it ends soon, or is not valid yet."""
        return now < self.begins or self.ends - now < RENEWED_BEFORE


def read(directory: Path) -> Certificate | None:
    """The present certificate; ``None`` if there is none that can be used."""
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
    """Make a key and certificate, unless the present ones are valid for some more weeks.

    If several processes call this at once, one of them makes the key.
    """
    with _alone(directory):
        present = read(directory)
        if present is not None and not present.is_due(_now()):
            check_private(key_path(directory))
            return present
        return _make(directory)


def renew(directory: Path) -> Certificate:
    """Make another key and certificate; the present ones are worthless from then on.

    Existing connections go on. Raises ``OSError`` if the file cannot be written.
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
    # A unique name distinguishes certificates of other workflows before they are verified.
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
