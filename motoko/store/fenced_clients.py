"""The clients of a study's server that speak for attempts which were declared dead."""

from __future__ import annotations

import logging
from pathlib import Path

from ZEO.runzeo import ZEOServer

from motoko.channel.greeting import Greeting
from motoko.host.directory_changes import DirectoryChanges
from motoko.runs.fences import fences_directory, reason_of
from motoko.store.internals.zeo_votes import cut, when_voting

log = logging.getLogger(__name__)


class FencedClients:
    """Keeps them from committing, and from staying.

    Args:
        server: one that was created.
        directory: the workflow's.
        study: the server's study, by name.
    """

    def __init__(self, server: ZEOServer, directory: Path, study: str) -> None:
        self._server = server
        self._directory = directory
        self._study = study
        self._changes = DirectoryChanges(fences_directory(directory, study))
        when_voting(self.refusal)

    def refusal(self, greeting: Greeting) -> str | None:
        """Why a client is not served any more; ``None`` if it is. Raises ``OSError``."""
        if greeting.run is None or greeting.attempt is None:
            return None
        reason = reason_of(self._directory, self._study, greeting.run, greeting.attempt)
        if reason is None:
            return None
        run = f"{self._study}.{greeting.run}"
        return f"attempt {greeting.attempt} of run {run} was declared dead: {reason}"

    def cut(self) -> None:
        """Cut those that are connected: they come again, and are told. Cheap if nothing is new."""
        try:
            if not self._changes.are_due():
                return
            for greeting, reason in cut(self._server, self.refusal):
                log.warning("job %s on %s is not served: %s", greeting.job, greeting.host, reason)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("fences cannot be read now: %s", error)
