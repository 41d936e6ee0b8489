"""What goes wrong with a workflow, in the supervisor's log."""

from __future__ import annotations

import logging

from motoko.config import WorkflowConfig
from motoko.supervisor.happenings import Happening, Occasion

log = logging.getLogger(__name__)


class LogNotifier:
    """Logs what needs a user's attention. ``Announcements.say`` logs everything else."""

    occasions = (Occasion.GIVEN_UP, Occasion.FAILED)

    def __init__(self, config: WorkflowConfig) -> None:
        """Nothing to do: the log needs to know nothing of the workflow."""

    def notify(self, happening: Happening) -> None:
        log.error("%s %s", happening.subject, happening.text, exc_info=happening.error)
