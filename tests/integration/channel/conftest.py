"""Relays, at a gate of the tests' own."""

import os
from pathlib import Path

import pytest
from relays import Gate, all_ended


@pytest.fixture
def gate(tmp_path):
    # A short place, which the test's own TMPDIR is.
    sockets = Path(os.environ["TMPDIR"]) / f"motoko-{os.getuid()}" / "0123456789abcdef"
    gate = Gate(tmp_path / "chan nel", sockets)
    yield gate
    gate.close()
    all_ended(gate)
