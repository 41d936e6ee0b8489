"""Sends one message and ends: ``python -m motoko.workers.notifier.sender``.

It is a process of its own, so that a slow command or service keeps nobody waiting, and a message
that is being sent is sent even if the notifier is killed. The file ``notify.sent`` says so then.
"""

from __future__ import annotations

import logging
import sys

from motoko.config.daemon_kinds import NOTIFIER
from motoko.host.files import write_atomically
from motoko.host.locks import locked_if_free
from motoko.operations.sending_notices import Letter, NotSent, send
from motoko.workers.daemon import arguments, configured
from motoko.workers.notifier.saved import SENDING, read, sent_path


def main() -> None:
    """Entry point."""
    options = arguments("Sends one message.")
    daemon = configured(NOTIFIER, options.workflow)
    daemon.log()
    with locked_if_free(daemon.runtime.lock(SENDING)) as is_ours:
        message = read(daemon.runtime).sending
        if not is_ours or message is None:
            return
        try:
            send(daemon.config, Letter(message.event, message.subject, message.text))
        except NotSent as error:
            logging.error("%s", error)
            sys.exit(error.exit_code)
        write_atomically(sent_path(daemon.runtime), f"{message.number}\n")


if __name__ == "__main__":
    main()
