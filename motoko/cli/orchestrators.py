"""What `motoko orchestrator status` tells: who runs, and how those in the background have ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from motoko import control, detached
from motoko.cli import ps
from motoko.config import WorkflowConfig

RUNNING = "running"


def collect(config: WorkflowConfig) -> list[dict[str, Any]]:
    """All orchestrators that run, and all that were started in the background, by run_name."""
    state = ps.collect(config)
    runtime = control.records(config)
    members = {each["name"]: each for each in state["daemons"] if each["kind"] == detached.KIND}
    found = {
        each["run_name"]: {**each, "state": RUNNING, "detached": False}
        for each in state["orchestrators"]
        if each.pop("registered")
    }
    for request in detached.requests(runtime):
        name = detached.daemon_name(request.run_name)
        member = members.get(name, {})
        entry = found.setdefault(
            request.run_name,
            {"run_name": request.run_name, "pid": member.get("pid"), "host": None}
            | {"state": _state(request, member), "waiting": [], "awaits": None, "since": None},
        )
        end = detached.end_of(runtime, request.run_name)
        entry |= {
            "detached": entry["pid"] == member.get("pid"),
            "restart": request.restart,
            "restarts": member.get("restarts"),
            "last_exit": member.get("last_exit"),
            "exit_code": end.exit_code if end else None,
            "ended": end.at if end else None,
            "error": end.error if end else None,
            "traceback": end.traceback if end else None,
            "log": str(runtime.log(name)),
        }
    return [found[name] for name in sorted(found)]


def _state(request: detached.Request, member: dict[str, Any]) -> str:
    """What one is doing that is not at work."""
    if member:
        return str(member["state"])
    return "ended" if request.wanted else "stopped"


def described(entry: dict[str, Any]) -> str:
    """One of them, for people: a line, and the traceback it has ended with below."""
    text = f"{entry['run_name']}: {entry['state']}"
    if entry["pid"]:
        text += f", pid {entry['pid']}" + (f" on {entry['host']}" if entry["host"] else "")
    if entry["detached"] and entry["restarts"]:
        text += f", restarted {entry['restarts']} times (last: {entry['last_exit']})"
    if entry["waiting"]:
        text += f", {ps.waits_for(entry)}"
    if entry["state"] == RUNNING or entry.get("exit_code") is None:
        return text
    at = datetime.fromtimestamp(entry["ended"], UTC).isoformat(timespec="seconds")
    text += f" at {at.replace('+00:00', 'Z')} with exit code {entry['exit_code']}"
    error = (entry["traceback"] or entry["error"] or "").rstrip()
    return text + "".join(f"\n    {line}" for line in error.splitlines())
