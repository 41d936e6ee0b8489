"""The key with which other hosts connect: showing its public facts, and renewing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from motoko.channel import endpoint, keys
from motoko.channel.endpoint import NoChannel
from motoko.channel.key_file import UnsafeKey, key_path
from motoko.channel.keys import Certificate
from motoko.channel.listening import shown
from motoko.config import WorkflowConfig
from motoko.errors import AnotherAccount, CannotWrite
from motoko.host.accounts import name_of
from motoko.layout import channel_directory


class KeyFacts(NamedTuple):
    """The facts about a workflow's key that may be shown.

    Attributes:
        certificate: the key's certificate.
        where: the gate's address; empty if the gate has never listened.
    """

    certificate: Certificate
    where: str


def present(config: WorkflowConfig) -> KeyFacts:
    """The facts about the workflow's key.

    Raises ``MotokoError`` if there is no key, or if it belongs to another account.
    """
    channel = _own_channel(config)
    certificate = keys.read(channel)
    if certificate is None:
        raise UnsafeKey(
            f"{key_path(channel)} is no key", hint="`motoko keys renew` makes another one"
        )
    return KeyFacts(certificate, _where(channel))


def renewed(config: WorkflowConfig) -> KeyFacts:
    """Replace the workflow's key by a new one, valid at once. Raises as :func:`present` does."""
    channel = _own_channel(config)
    try:
        return KeyFacts(keys.renew(channel), _where(channel))
    except OSError as error:
        raise CannotWrite(f"{channel} cannot be written: {error.strerror}") from error


def _own_channel(config: WorkflowConfig) -> Path:
    channel = channel_directory(config.directory)
    try:
        owner = channel.stat().st_uid
        exists = owner != os.getuid() or key_path(channel).exists()
    except FileNotFoundError:
        exists = False
    except OSError as error:
        raise NoChannel(f"{channel} cannot be read: {error.strerror}") from error
    if not exists:
        raise NoChannel(
            f"{config.directory} has no key: other hosts do not reach it",
            hint="`remote: true` in motoko.yaml and `motoko supervise` make one",
        )
    if owner != os.getuid():
        raise AnotherAccount(
            f"the key belongs to another account ({name_of(owner)})", hint="ask its owner"
        )
    return channel


def _where(channel: Path) -> str:
    try:
        gate = endpoint.read(channel)
    except NoChannel:
        return ""
    return shown(gate.hosts[0], gate.port)
