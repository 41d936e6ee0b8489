"""Loading the user's orchestrator module. Only commands that run the orchestrator load it."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from motoko.api.user_modules import spec_of
from motoko.config import WorkflowConfig
from motoko.errors import ConfigError

# The module's name, as in motoko 0.1.4, whatever the file is called.
MODULE_NAME = "orchestrator"
_VERSION = "__motoko_version__"
# Reentrant: the file may load itself, for instance through a Workflow that it makes.
_loading = threading.RLock()


def load_module(config: WorkflowConfig) -> ModuleType:
    """Import the orchestrator's file, with its directory on ``sys.path``.

    The file is executed once, and again (in a notebook, say) when it has been changed. Threads that
    ask for it meanwhile wait, and get the module that the first thread has loaded.

    Raises ``ConfigError`` if there is no such file, or if it has a syntax error.
    """
    with _loading:
        return _loaded(config)


def _loaded(config: WorkflowConfig) -> ModuleType:
    path = config.directory / f"{config.orchestrator[0]}.py"
    if not path.is_file():
        raise ConfigError(
            f"{config.path}: orchestrator: there is no {path}",
            hint="`orchestrator: module.function` names a file next to motoko.yaml",
        )
    if str(config.directory) not in sys.path:
        sys.path.insert(0, str(config.directory))
    info = path.stat()
    version = (str(path), info.st_mtime_ns, info.st_size)
    loaded = sys.modules.get(MODULE_NAME)
    if loaded is not None and getattr(loaded, _VERSION, None) == version:
        return loaded
    spec = spec_of(MODULE_NAME, path)
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    setattr(module, _VERSION, version)
    sys.modules[MODULE_NAME] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[MODULE_NAME]
        raise ConfigError(
            f"{error.filename}, line {error.lineno}: {error.msg}",
            hint="mend the orchestrator's Python syntax",
        ) from error
    except BaseException:
        del sys.modules[MODULE_NAME]
        raise
    return module


def load_function(config: WorkflowConfig) -> Callable[..., Any]:
    """The orchestrator's function; ``ConfigError`` if its file has none of that name."""
    name, function = config.orchestrator
    orchestrator = getattr(load_module(config), function, None)
    if not callable(orchestrator):
        hint = f"define `async def {function}(workflow, **params)` there"
        if function == "py":  # the file was meant
            hint = f"write {name}.main: the file's name without .py, a dot, the function's name"
        raise ConfigError(
            f"{config.path}: orchestrator: {name}.py has no function {function!r}", hint=hint
        )
    return orchestrator  # type: ignore[no-any-return]  # callable() cannot tell more
