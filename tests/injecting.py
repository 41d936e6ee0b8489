"""The environment of daemons with faults in themselves: see faults/inject/sitecustomize.py."""

import os
from pathlib import Path

INJECT = Path(__file__).parent / "faults" / "inject"


def python_path() -> str:
    """PYTHONPATH that leads to the faults first, and then to where it leads now."""
    return os.pathsep.join([str(INJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
