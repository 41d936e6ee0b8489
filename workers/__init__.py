"""The supervisor's children: one module each, each run as ``python -m motoko.workers.<name>``."""

import atexit
import gc
import os
import sys

# How the process ends, once :func:`motoko.workers.daemon.as_process` knows it.
exit_code: int | None = None


def _end() -> None:
    if exit_code is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


# Imports make no garbage, and collecting it would take a tenth of a daemon's start. Python sets
# argv to this only while a module of this package is being started with -m.
if sys.argv[:1] == ["-m"]:
    gc.disable()  # until motoko.workers.daemon.running
    # Taking apart all that was imported takes as much again. What was registered first is called
    # last: after what imported modules have to do at exit, and after their threads have ended.
    atexit.register(_end)
