"""The clients of a study's server that belong to attempts which were declared dead."""

from __future__ import annotations

import logging
from pathlib import Path

from ZEO.runzeo import ZEOServer

from motoko.channel.greeting import Greeting
from motoko.host.directory_changes import DirectoryChanges
from motoko.runs.fences import fences_directory, reason_of
from motoko.store.internals.zeo_votes import cut, greetings, when_voting

log = logging.getLogger(__name__)


class FencedClients:
    """Keeps such clients from committing, and disconnects them. They may be of any study.

    Args:
        server: a server that was created.
        directory: the workflow's directory.
    """

    def __init__(self, server: ZEOServer, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self._changes: dict[str, DirectoryChanges] = {}  # of the fences, by study
        when_voting(self.refusal)

    def refusal(self, greeting: Greeting) -> str | None:
        """Why a client is no longer served; ``None`` if it is served. Raises ``OSError``."""
        if greeting.run is None or greeting.attempt is None:
            return None
        reason = reason_of(self._directory, greeting.study, greeting.run, greeting.attempt)
        if reason is None:
            return None
        run = f"{greeting.study}.{greeting.run}"
        return f"attempt {greeting.attempt} of run {run} was declared dead: {reason}"

    def cut(self) -> None:
        """Disconnect fenced clients: they connect again, and get the reason. Cheap without news."""
        try:
            studies = {greeting.study for greeting in greetings(self._server)}
            if not any([self._are_due(study) for study in studies]):
                return
            for greeting, reason in cut(self._server, self.refusal):
                log.warning("job %s on %s is not served: %s", greeting.job, greeting.host, reason)
        except OSError as error:
            log.warning("fences cannot be read now: %s", error)

    def _are_due(self, study: str) -> bool:
        if study not in self._changes:
            self._changes[study] = DirectoryChanges(fences_directory(self._directory, study))
        try:
            return self._changes[study].are_due()
        except FileNotFoundError:
            return False
