"""The greeting of a client after the TLS handshake, and the answer to it.

Each is one line of JSON. The protocol of the socket begins only after both.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from motoko.errors import MotokoError

LINE_MAX = 4096


class BadGreeting(MotokoError):
    """A line is neither a greeting nor an answer to one."""


class NotWelcome(MotokoError):
    """The other side has answered a greeting with a refusal.

    Attributes:
        fenced: whether the attempt that greets was declared dead: its processes must end.
    """

    def __init__(self, reason: str, *, fenced: bool) -> None:
        self.fenced = fenced
        super().__init__(reason)


class Greeting(NamedTuple):
    """Who greets. All of it is optional.

    Attributes:
        run, study, attempt: the attempt of a run that the client belongs to; ``None`` and empty if
            it belongs to none.
        job: the scheduler's id of its batch job.
        host: the name that its host calls itself.
    """

    run: int | None = None
    study: str = ""
    attempt: int | None = None
    job: str = ""
    host: str = ""

    def line(self) -> bytes:
        """The line that is sent."""
        return json.dumps(self._asdict()).encode() + b"\n"


def read_greeting(line: bytes) -> Greeting:
    """The greeting in a line. Raises ``BadGreeting`` if it is not a greeting."""
    data = _object(line)
    texts = [data.get(key, "") for key in ("study", "job", "host")]
    numbers = [data.get(key) for key in ("run", "attempt")]
    if not all(isinstance(text, str) for text in texts) or not all(
        number is None or type(number) is int for number in numbers
    ):
        raise BadGreeting(f"no greeting: {line[:200]!r}")
    return Greeting(numbers[0], texts[0], numbers[1], texts[1], texts[2])


WELCOME = b'{"welcome": true}\n'


def refusal(reason: str, *, fenced: bool) -> bytes:
    """The answer to a greeting that is not welcome."""
    return json.dumps({"refused": reason[:1000], "fenced": fenced}).encode() + b"\n"


def check_answer(line: bytes) -> None:
    """Return if a line is a welcome. Raises ``NotWelcome`` or ``BadGreeting``."""
    data = _object(line)
    if data.get("welcome") is True:
        return
    if "refused" not in data:
        raise BadGreeting(f"no answer to a greeting: {line[:200]!r}")
    raise NotWelcome(str(data["refused"]), fenced=data.get("fenced") is True)


def _object(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line) if len(line) <= LINE_MAX else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise BadGreeting(f"no greeting: {line[:200]!r}")
    return data
