"""Opens a study's base: from its server, or from its file where there is no server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.daemon_kinds import ZEO, daemon_of
from motoko.control import client, daemon_records, supervisor_lock
from motoko.control.bridging import reached
from motoko.layout import locate, other_account
from motoko.store.base import StudyBase, connect, open_file


@contextlib.contextmanager
def opened(
    config: WorkflowConfig, study: StudyConfig, *, read_only: bool = False
) -> Iterator[StudyBase]:
    """A study's base, closed after the block; see :func:`open_base`."""
    base = open_base(config, study, read_only=read_only)
    try:
        yield base
    finally:
        base.close()


def open_base(config: WorkflowConfig, study: StudyConfig, *, read_only: bool = False) -> StudyBase:
    """A study's base: from its server if it should have one, else from its file.

    Raises ``NotCreated``, or ``StudyUnavailable`` if the server does not answer or if another
    process has the file.
    """
    study.check_created()
    if read_only and study.is_local and locate(config) is None and other_account(config.directory):
        return open_file(study, read_only=True)  # its server, if it has one, refuses this account
    if not read_only:
        daemon_records.refuse_guests(config)
    if study.is_local and is_served(config, study):
        daemon_records.refuse_guests(config)
        return connect(study, reached(config), read_only=read_only)
    if not study.is_local:
        return connect(study, locate(config), read_only=read_only)
    if not read_only:
        supervisor_lock.refuse_elsewhere(config)
    return open_file(study, read_only=read_only)


def is_served(config: WorkflowConfig, study: StudyConfig) -> bool:
    """Whether a local study has a ZEO server, or will soon have one again."""
    name = daemon_of(ZEO, study.name)
    if name in client.daemons_at_work(config):
        return True
    if not client.is_supervised(config):
        return False
    status = client.supervisor_status(config)
    server = status.daemon(name) if status else None
    return server is None or server.state not in ("stopped", "failed")
