"""Ensures that a run_name has one orchestrator, and records which process it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from motoko.control import client
from motoko.control.daemon_records import living_orchestrators, record_text, recorded_identity
from motoko.control.protocol import StatusRequest
from motoko.errors import OrchestratorRunning
from motoko.host.files import kept_file, read_json
from motoko.host.locks import locked_if_free
from motoko.layout import Runtime, file_name


@contextlib.contextmanager
def registered(runtime: Runtime, run_name: str) -> Iterator[None]:
    """Be the orchestrator of a run_name while the block runs; ``motoko ps`` shows it.

    Raises ``OrchestratorRunning`` if there is one already.
    """
    record = runtime.wf / "orchestrators" / f"{file_name(run_name)}.json"
    with locked_if_free(runtime.lock(f"run_name:{run_name}")) as is_ours:
        if not is_ours or _is_heard_of(runtime, record):
            raise held(run_name, read_json(record) or {})
        with kept_file(record, record_text(runtime, run_name=run_name)):
            yield


def _is_heard_of(runtime: Runtime, record: Path) -> bool:
    """Whether the recorded orchestrator lives on another host, whose locks are not seen here."""
    who = recorded_identity(runtime, record)
    if who is None or not who.is_elsewhere:
        return False
    status = client.ask(runtime, StatusRequest())
    heard = {(info.host, info.pid) for info in status.orchestrators} if status else set()
    return (who.host, who.pid) in heard


def refuse_held(runtime: Runtime, run_name: str) -> None:
    """Raise ``OrchestratorRunning`` if a run_name has an orchestrator already."""
    for name, who in living_orchestrators(runtime):
        if name == run_name:
            raise held(run_name, who.to_dict())


def held(run_name: str, by: Mapping[str, Any]) -> OrchestratorRunning:
    """The error that a run_name has an orchestrator already; it says which process."""
    return OrchestratorRunning(
        f"an orchestrator with run_name {run_name!r} is running already "
        f"(pid {by.get('pid') or '?'} on {by.get('host', '?')})",
        hint="choose another --run_name, or wait for it: `motoko ps` shows it",
    )
