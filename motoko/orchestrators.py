"""One orchestrator per run_name, and who it is."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from typing import Any

from motoko.errors import OrchestratorRunning
from motoko.identity import Identity
from motoko.runtime import Runtime, file_name, read_json, write_atomically


@contextlib.contextmanager
def registered(runtime: Runtime, run_name: str) -> Iterator[None]:
    """Be the orchestrator of a run_name while the block runs; ``motoko ps`` shows it.

    Raises ``OrchestratorRunning`` if there is one already.
    """
    record = runtime.wf / "orchestrators" / f"{file_name(run_name)}.json"
    with open(runtime.lock(f"run_name:{run_name}"), "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise held(run_name, read_json(record) or {}) from None
        me = {"run_name": run_name, **Identity.mine().to_dict()}
        write_atomically(record, json.dumps(me))
        try:
            yield
        finally:
            record.unlink(missing_ok=True)


def held(run_name: str, by: Mapping[str, Any]) -> OrchestratorRunning:
    """The error that says who is the orchestrator of a run_name."""
    return OrchestratorRunning(
        f"an orchestrator with run_name {run_name!r} is running already "
        f"(pid {by.get('pid') or '?'} on {by.get('host', '?')})",
        hint="choose another --run_name, or wait for it: `motoko ps` shows it",
    )
