"""The messages that wait to be sent, and the one that is being sent. Pure logic.

It is saved before a message is sent, and after it. So a message that was told once to the outbox is
sent once. Only if the process that sends it is killed in that moment, nobody knows whether it was
sent: then it is sent again, and says so.
"""

from __future__ import annotations

import msgspec

from motoko.config.notices import EVENTS
from motoko.workers.notifier.occurrences import Known

PAUSE_S = 300.0  # between two messages about one event
RETRY_S, RETRY_MAX_S = 30.0, 3600.0
LINES_MAX = 200  # of a message


class Sending(msgspec.Struct):
    """A message that is being sent.

    Attributes:
        number: counts the messages.
        event, subject, text: what is sent.
        tries: how often it could not be sent.
        not_before: when it is tried next (seconds since 1970).
        begun: whether a process has begun to send it.
    """

    number: int
    event: str
    subject: str
    text: str
    tries: int = 0
    not_before: float = 0.0
    begun: bool = False


class Outbox(msgspec.Struct):
    """What is saved in ``.wf/notify.json``.

    Attributes:
        known: what has been put in here; ``None`` at the very first start.
        waiting: the lines to be sent, by event.
        sent: when the last message about an event was sent (seconds since 1970).
        sending: the message that is being sent.
        count: how many messages have been begun.
    """

    known: Known | None = None
    waiting: dict[str, list[str]] = {}
    sent: dict[str, float] = {}
    sending: Sending | None = None
    count: int = 0

    def put(self, event: str, line: str) -> None:
        """Have a line sent with the next message about an event."""
        self.waiting.setdefault(event, []).append(line)

    def next_at(self) -> float | None:
        """When there will be something to do (seconds since 1970); ``None`` if never."""
        if self.sending is not None:
            return self.sending.not_before
        return min((self.sent.get(e, -PAUSE_S) + PAUSE_S for e in self.waiting), default=None)

    def next(self, workflow: str, now: float) -> Sending | None:
        """The message to be sent now, if there is one; it counts as begun from now on."""
        if self.sending is None:
            due = [e for e in self.waiting if not now < self.sent.get(e, -PAUSE_S) + PAUSE_S]
            if not due:
                return None
            event = min(due, key=list(EVENTS).index)
            lines = self.waiting.pop(event)
            self.count += 1
            title = lines[0].partition("\n")[0]
            if len(lines) > 1:
                title += f", and {len(lines) - 1} more"
            text = "\n".join(lines).split("\n")
            left = len(text) - LINES_MAX
            text = [*text[:LINES_MAX], f"and {left} more lines"] if left > 0 else text
            self.sending = Sending(self.count, event, f"{workflow}: {title}", "\n".join(text))
        elif now < self.sending.not_before:
            return None
        elif self.sending.begun:
            again = "(this may come for the second time)"
            if again not in self.sending.text:
                self.sending.text += f"\n{again}"
        self.sending.begun = True
        return self.sending

    def is_sent(self, now: float) -> None:
        """The message was sent."""
        assert self.sending is not None
        self.sent[self.sending.event] = now
        self.sending = None

    def is_not_sent(self, now: float) -> None:
        """It could not be sent: it is tried again later."""
        assert self.sending is not None
        pause = min(RETRY_S * 2 ** min(self.sending.tries, 10), RETRY_MAX_S)
        self.sending.tries += 1
        self.sending.not_before, self.sending.begun = now + pause, False
