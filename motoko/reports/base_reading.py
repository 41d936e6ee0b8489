"""A study's base for those who only look."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import StudyUnavailable

if TYPE_CHECKING:
    from motoko.store.base import StudyBase


@contextlib.contextmanager
def reading_base(config: WorkflowConfig, study: StudyConfig) -> Iterator[tuple[StudyBase, bool]]:
    """A study's base, and whether its server answers; if it does not, from the file.

    Raises ``NotCreated``; ``StudyUnavailable`` if there is no file here.
    """
    from motoko.control.study_access import opened
    from motoko.store.base import open_file

    with contextlib.ExitStack() as stack:
        try:
            base = stack.enter_context(opened(config, study, read_only=True))
            answers = True
        except StudyUnavailable:
            if not study.is_local:
                raise
            base, answers = open_file(study, read_only=True), False
            stack.callback(base.close)
        yield base, answers
