"""Motoko runs workflows of BlackDynamite studies.

The names below are imported when they are first used, so that ``import motoko`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motoko.api.run_list import RunList as RunList
    from motoko.api.selection import TaskSelection as TaskSelection
    from motoko.api.selection import TaskSelectionEval as TaskSelectionEval
    from motoko.api.task_manager import TaskManager as TaskManager
    from motoko.api.workflow import Workflow as Workflow
    from motoko.api.workflow import event as event
    from motoko.errors import ChangeConflict as ChangeConflict
    from motoko.errors import ConfigError as ConfigError
    from motoko.errors import ConstraintError as ConstraintError
    from motoko.errors import LauncherGivenUp as LauncherGivenUp
    from motoko.errors import MotokoError as MotokoError
    from motoko.errors import NoSupervisor as NoSupervisor
    from motoko.errors import NotCreated as NotCreated
    from motoko.errors import ParameterError as ParameterError
    from motoko.errors import ReadOnly as ReadOnly
    from motoko.errors import RunFailed as RunFailed
    from motoko.errors import StudyUnavailable as StudyUnavailable
    from motoko.errors import UnreadableEntry as UnreadableEntry
    from motoko.errors import WorkflowStopped as WorkflowStopped

_HOMES = {
    "motoko.errors": (
        "ChangeConflict ConfigError ConstraintError LauncherGivenUp MotokoError "
        "NoSupervisor NotCreated ParameterError ReadOnly RunFailed StudyUnavailable "
        "UnreadableEntry WorkflowStopped"
    ),
    "motoko.api.run_list": "RunList",
    "motoko.api.selection": "TaskSelection TaskSelectionEval",
    "motoko.api.task_manager": "TaskManager",
    "motoko.api.workflow": "Workflow event",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'motoko' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
