"""The launcher of a study: ``python -m motoko.workers.launcher``."""

from __future__ import annotations

import signal

# Before all else, as the supervisor has done already: signals that come during the start wait until
# the launcher can act on them, and its other threads leave them to the main thread.
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1, signal.SIGUSR2))

import asyncio  # noqa: E402

from motoko.bus.publisher import Publisher  # noqa: E402
from motoko.workers.daemon import arguments, as_process, running  # noqa: E402
from motoko.workers.launcher.launching import BUS_DEADLINE_S, Launcher  # noqa: E402


def main() -> None:
    """Entry point of ``python -m motoko.workers.launcher``."""
    options = arguments("The launcher of a study.", study=True)
    with (
        running(f"launcher:{options.study}", options.workflow) as daemon,
        Publisher(daemon.runtime.bus_publish) as publisher,
    ):
        publisher.connected(BUS_DEADLINE_S)
        launcher = Launcher(daemon, options.study, options.slots, publisher, options.generator)
        asyncio.run(launcher.run())


if __name__ == "__main__":
    as_process(main)
