"""Adapting a study's jobs and runs to what its bd.yaml declares now."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control.study_access import opened
from motoko.errors import BeingExecuted, StudyUnavailable
from motoko.store.declarations import is_known, warning

if TYPE_CHECKING:
    from motoko.store.study_upgrade import Plan


def upgrade(
    config: WorkflowConfig,
    study: StudyConfig,
    *,
    renames: Mapping[str, str],
    dropped: Collection[str],
    apply: bool,
) -> Plan:
    """The changes that are made, or would be made, in a study's database.

    Args:
        config: the study's workflow.
        study: the study, as its bd.yaml declares it now.
        renames: the new names of renamed parameters, by their old names.
        dropped: names that are no longer declared, to be removed from jobs and runs.
        apply: whether to make the changes.

    Raises ``ConfigError`` if the changes cannot be made, ``MotokoError`` if runs are being
    executed, ``NotCreated`` or ``StudyUnavailable``; then nothing is changed.
    """
    from motoko.operations.choosing import running
    from motoko.store import study_upgrade
    from motoko.store.transactions import commit_now, renew

    with opened(config, study, read_only=not apply) as base:
        renew(base)
        if not apply:
            return study_upgrade.plan(base, renames, dropped)
        if busy := running(base, list(base.runs.entries.keys())):
            names = ", ".join(f"{study.name}.{number}" for number in busy[:10])
            raise BeingExecuted(
                f"these runs are being executed: {names}; nothing was changed",
                hint="wait for them, or end them: `motoko cancel`",
            )
        return commit_now(base, lambda: study_upgrade.apply(base, renames, dropped))


def warnings(config: WorkflowConfig) -> list[str]:
    """Differences between the studies' databases and their bd.yaml, a line for each study."""
    lines = []
    for study in config.studies.values():
        if study.is_local and study.created and not is_known(study):
            from motoko.store.study_database import changed_declarations

            with contextlib.suppress(StudyUnavailable):  # the study's server will report it
                if differing := changed_declarations(study):
                    lines.append(warning(study.name, differing))
    return lines
