"""The names that motoko 0.1.4 has here; they are defined in :mod:`motoko.api`."""

from motoko.api.run_list import RunList as RunList
from motoko.api.selection import TaskSelection as TaskSelection
from motoko.api.selection import TaskSelectionEval as TaskSelectionEval
from motoko.api.task_manager import TaskManager as TaskManager

__all__ = ["RunList", "TaskManager", "TaskSelection", "TaskSelectionEval"]
