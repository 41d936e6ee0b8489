"""motoko.yaml and bd.yaml: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from configs import make_workflow


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    return make_workflow(tmp_path / "w")
