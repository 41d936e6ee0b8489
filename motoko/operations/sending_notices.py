"""Sending one message to those whom motoko.yaml names under ``notify:``.

Addresses are secrets: no error, log or output of this module has one.
"""

from __future__ import annotations

import logging
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.config import WorkflowConfig
from motoko.config.notices import FILE, VARIABLE
from motoko.errors import MotokoError
from motoko.host.extras import extra

COMMAND_S = 60.0  # how long a command may take
_PRIVATE = 0o077  # the permissions that a file with secrets must not have


class NotSent(MotokoError):
    """A message could not be sent; it is tried again."""


@dataclass(frozen=True)
class Letter:
    """A message.

    Attributes:
        event: its name in motoko.yaml, or ``test``.
        subject: one line; text: more lines.
    """

    event: str
    subject: str
    text: str


def send(config: WorkflowConfig, letter: Letter) -> None:
    """Send a message by the command and to all addresses; waits until that is done.

    Raises ``NotSent``, once all have been tried.
    """
    problems: list[str] = []
    if config.notices.command:
        problems += _by_command(config, letter)
    if config.notices.urls:
        problems += _by_apprise(config, letter)
    if problems:
        raise NotSent(
            "; ".join(problems), hint="`motoko notify --test` tries it; see docs/watching.md"
        )


def _by_command(config: WorkflowConfig, letter: Letter) -> Iterator[str]:
    program = config.notices.command[0]
    variables = {
        **os.environ,
        "MOTOKO_EVENT": letter.event,
        "MOTOKO_SUBJECT": letter.subject,
        "MOTOKO_WORKFLOW": str(config.path),
    }
    try:
        done = subprocess.run(
            config.notices.command,
            input=f"{letter.subject}\n\n{letter.text}\n".encode(errors="replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=config.directory,
            env=variables,
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield f"notify.command: {program} took longer than {COMMAND_S:g} s, and was killed"
        return
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        yield f"notify.command: {program} could not be started: {why}"
        return
    if done.returncode:
        yield f"notify.command: {program} ended with exit code {done.returncode}"


def _by_apprise(config: WorkflowConfig, letter: Letter) -> Iterator[str]:
    apprise = extra("apprise", "notify", "notify.urls")
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it logs addresses
    for name in config.notices.urls:
        try:
            addresses = addresses_of(config.directory, name)
        except NotSent as error:
            yield str(error)
            continue
        for number, address in enumerate(addresses, 1):
            yield from _to_one(apprise, f"{name}, address {number}", address, letter)


def _to_one(apprise: Any, name: str, address: str, letter: Letter) -> Iterator[str]:
    service = apprise.Apprise()
    if not service.add(address):
        yield f"notify.urls: {name}: Apprise knows no such address"
        return
    try:
        is_sent = service.notify(body=letter.text, title=letter.subject)
    except Exception as error:  # noqa: BLE001 (of any service's library)
        yield f"notify.urls: {name}: {type(error).__name__}"
        return
    if not is_sent:
        yield f"notify.urls: {name}: Apprise could not send it"


def addresses_of(directory: Path, name: str) -> list[str]:
    """The addresses in a variable or a private file. Raises ``NotSent`` if there are none."""
    if name.startswith(VARIABLE):
        text = os.environ.get(name.removeprefix(VARIABLE), "")
        if not text.strip():
            raise NotSent(f"notify.urls: {name}: this variable is not set here")
    else:
        text = _private_text(directory / Path(name.removeprefix(FILE)).expanduser(), name)
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _private_text(path: Path, name: str) -> str:
    try:
        with path.open() as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & _PRIVATE:
                raise NotSent(f"notify.urls: {name}: others may read it: chmod 600")
            return file.read()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise NotSent(f"notify.urls: {name}: it cannot be read: {why}") from None
