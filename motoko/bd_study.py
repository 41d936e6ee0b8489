"""Creating studies, by the names that motoko 0.1.4 has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motoko.task_manager import TaskManager
    from motoko.workflow import Workflow


def create_bd_study(task_manager: TaskManager) -> None:
    """Initialise one study's database; what was there is gone. Leaves nothing running.

    What supervises the workflow is stopped first. The other studies keep what they hold.
    """
    from motoko.creation import create_one

    task_manager.close()
    create_one(task_manager.workflow._definition, task_manager.definition)


def create_bd_studies(workflow: Workflow, validated: bool | None = None) -> None:
    """Initialise the databases of all studies, as :meth:`motoko.workflow.Workflow.create` does.

    Args:
        workflow: the workflow.
        validated: ``True`` to ask nothing, though something would be lost.
    """
    workflow.create(validated)
