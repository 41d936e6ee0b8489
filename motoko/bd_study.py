"""Functions that create studies, under the names that motoko 0.1.4 uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from motoko.errors import WrongUse

if TYPE_CHECKING:
    from motoko.api.task_manager import TaskManager
    from motoko.api.workflow import Workflow


def create_bd_study(task_manager: TaskManager) -> None:
    """Initialise one study's database; its previous contents are deleted. Leaves nothing running.

    The workflow's supervisor is stopped first. The other studies keep their contents.
    """
    from motoko.operations.creation import create_one

    task_manager.close()
    create_one(task_manager.engine.definition, task_manager.definition)


def create_bd_studies(workflow: Workflow, validated: bool | None = None) -> None:
    """Initialise the databases of all studies, as :meth:`motoko.workflow.Workflow.create` does.

    Args:
        workflow: the workflow.
        validated: ``True`` to ask nothing, even if runs would be lost.
    """
    workflow.create(validated)


def remote_launch(*args: object, **kwargs: object) -> NoReturn:
    """0.1.4's way to use a study on another host: it deleted the contents of the directory there.

    Always raises ``MotokoError``, whose hint says how to use such a study now.
    """
    raise WrongUse(
        "remote_launch is not there any more: it deleted the study's directory on the other host",
        hint="copy the study there, supervise it there, and name it here: `host: zeo://...`",
    )
