"""Started by its path, with ``python -I -S``: it has only the standard library and this package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

from motoko.channel.relay.relay_process import main

sys.exit(main(sys.argv[1:]))
