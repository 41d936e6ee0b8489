"""The names that motoko 0.1.4 has here; they are defined in :mod:`motoko.api.workflow`."""

from motoko.api.workflow import Workflow as Workflow
from motoko.api.workflow import event as event

__all__ = ["Workflow", "event"]
