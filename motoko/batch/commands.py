"""Calling a scheduler's commands: without a shell, with a deadline, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from motoko.host.log_files import fields

log = logging.getLogger(__name__)

NOT_FOUND = 127


@dataclass(frozen=True)
class Done:
    """What became of a command: ``code`` is ``None`` if it was killed at its deadline."""

    code: int | None
    stdout: str
    stderr: str

    @property
    def how(self) -> str:
        """How it ended, in a few words."""
        if self.code is None:
            return "gave no answer in time"
        return "is not there" if self.code == NOT_FOUND else f"ended with exit code {self.code}"


@dataclass
class Commands:
    """Calls commands, and logs a line for each call.

    Attributes:
        counts: how often each command was called.
    """

    counts: Counter[str] = field(default_factory=Counter)

    async def call(
        self, command: Sequence[str], *, environment: Mapping[str, str], timeout: float
    ) -> Done:
        """Call a command, and kill it if it takes longer than ``timeout`` seconds."""
        self.counts[command[0]] += 1
        log.info("scheduler", extra=fields(command=command[0], number=self.counts.total()))
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            return Done(NOT_FOUND, "", f"{command[0]}: {error.strerror}")
        try:
            async with asyncio.timeout(timeout):
                stdout, stderr = await process.communicate()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return Done(None, "", "")
        return Done(
            process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")
        )
