"""Packing the databases of a workflow's studies, served or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from motoko.config import StudyConfig, WorkflowConfig
from motoko.control.study_access import opened
from motoko.errors import StudyUnavailable

if TYPE_CHECKING:
    from motoko.store.packing import Packed


def pack_studies(
    config: WorkflowConfig, studies: Iterable[StudyConfig], days: float
) -> Iterator[tuple[StudyConfig, Packed]]:
    """Pack studies one after the other; their runs and commands go on meanwhile.

    Args:
        config: the workflow.
        studies: the studies, whose databases are on this host.
        days: how much history is kept; of databases that are served, at least the last minute.

    Raises ``StudyUnavailable`` for a study of another workflow, else like
    :func:`motoko.store.packing.pack` and :func:`motoko.control.study_access.opened`.
    """
    from motoko.store.packing import is_served, pack, pack_time

    for study in studies:
        if not study.is_local:
            raise StudyUnavailable(
                f"the database of study {study.name} is elsewhere: {study.host}",
                hint="pack it in the workflow that it belongs to",
            )
        with opened(config, study) as base:
            yield study, pack(base, pack_time(days, is_served=is_served(base)))
