"""The supervisor's children: one module each, each run as ``python -m motoko.workers.<name>``."""

import gc
import sys

# While it imports, nothing becomes garbage, and looking for it takes a tenth of a daemon's start.
# Python says so to whoever is imported because a module below is being run, and to nobody else.
if sys.argv[:1] == ["-m"]:
    gc.disable()  # until motoko.workers.daemon.running
