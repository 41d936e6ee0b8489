"""``python -m motoko.supervisor``: the supervisor in the background, for ``motoko.control``."""

from __future__ import annotations

import argparse
import os
import sys

from motoko.config import load
from motoko.control.supervisor_lock import AlreadySupervised
from motoko.errors import MotokoError
from motoko.supervisor.listeners import Starter
from motoko.supervisor.supervising import supervise


def main() -> None:
    """Detach from the process that started us; it is then told through descriptor ``--report``."""
    parser = argparse.ArgumentParser(description="The supervisor of a Motoko workflow.")
    parser.add_argument("workflow", help="path of motoko.yaml")
    parser.add_argument("--no-launchers", action="store_true")
    parser.add_argument("--slots", type=int)
    parser.add_argument("--generator")
    parser.add_argument("--takeover", action="store_true")
    parser.add_argument("--report", type=int, required=True)
    options = parser.parse_args()
    if os.fork():
        os._exit(0)  # our starter waits for this, and does not have to reap the supervisor
    starter = Starter(options.report)
    try:
        config = load(options.workflow)
        supervise(
            config,
            starter,
            launchers=not options.no_launchers,
            slots=options.slots,
            generator=options.generator,
            takeover=options.takeover,
        )
    except AlreadySupervised:
        starter.already_running()
    except MotokoError as error:
        starter.refused(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
