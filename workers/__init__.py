"""The supervisor's children: one module each, each run as ``python -m motoko.workers.<name>``."""

import gc
import sys

# Imports make no garbage, and collecting it would take a tenth of a daemon's start. Python sets
# argv to this only while a module of this package is being started with -m.
if sys.argv[:1] == ["-m"]:
    gc.disable()  # until motoko.workers.daemon.running
