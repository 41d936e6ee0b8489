"""What the supervisor says: to its log, to its listener, and to the notifiers."""

from __future__ import annotations

import logging
from collections.abc import Callable

from motoko.config import WorkflowConfig
from motoko.host.log_files import fields
from motoko.supervisor.happenings import Happening, Notifier
from motoko.supervisor.listeners import Listener
from motoko.supervisor.log_notifier import LogNotifier

log = logging.getLogger(__name__)

# One line for each notifier: what makes it for a workflow.
NOTIFIERS: list[Callable[[WorkflowConfig], Notifier]] = [
    LogNotifier,
]


class Announcements:
    """Tells the log, the listener and the notifiers what happens to a workflow.

    Args:
        config: the workflow.
        listener: the person or process that started the supervisor.
        width: the width of the column of daemon names, in lines for people.
    """

    def __init__(self, config: WorkflowConfig, listener: Listener, width: int) -> None:
        self._listener = listener
        self._width = width
        self._notifiers = [make(config) for make in NOTIFIERS]

    def say(self, name: str, text: str, **values: object) -> None:
        """Log what a daemon does, and tell the listener."""
        log.info("%s %s", name, text, extra=fields(**values))
        figures = ", ".join(f"{key} {value}" for key, value in values.items())
        text += f" ({figures})" if figures else ""
        self._listener.line(f"{name:<{self._width}} {text}")

    def notify(self, happening: Happening) -> None:
        """Tell the notifiers that want to know of such an occasion."""
        for notifier in self._notifiers:
            if happening.occasion in notifier.occasions:
                try:
                    notifier.notify(happening)
                except Exception:
                    log.exception(
                        "%s could not be sent out: %s", happening.occasion, happening.text
                    )
