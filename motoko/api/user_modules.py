"""Modules of the user's, always executed as their files are now."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType


class _AsWritten(SourceFileLoader):
    """Keeps no compiled copy, and reads none.

    Python would execute the earlier copy of a file that was changed within a second and has the
    same size.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def spec_of(name: str, path: Path) -> ModuleSpec:
    """What ``importlib.util.module_from_spec`` needs to make the module of a file."""
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsWritten(name, str(path)))
    assert spec is not None and spec.loader is not None
    return spec
