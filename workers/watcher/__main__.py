"""The watcher of a workflow: ``python -m motoko.workers.watcher``."""

from __future__ import annotations

from motoko.workers.daemon import arguments, as_process, running
from motoko.workers.watcher.study_watcher import watch


def main() -> None:
    """Entry point of ``python -m motoko.workers.watcher``."""
    options = arguments("The watcher of a Motoko workflow.")
    with running("watcher", options.workflow) as daemon:
        watch(daemon)


if __name__ == "__main__":
    as_process(main)
