"""``motoko explain``: where a run stands, and why it is not running."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from motoko import slot_use
from motoko.batch_settings import LOCAL
from motoko.cli.jobs import job_facts, submitted
from motoko.cli.ps import collect
from motoko.cli.selecting import study_named
from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.errors import ConfigError, StudyUnavailable
from motoko.explaining import (
    ENDED,
    WAITING,
    Cause,
    Execution,
    Explanation,
    Facts,
    Slots,
    explain,
)
from motoko.run_output import output_stem, stderr_path, tail
from motoko.states import CREATED, FAILED_STATES
from motoko.times import since

if TYPE_CHECKING:
    from motoko.bd.base import StudyBase

STDERR_LINES = 20
_KEPT = (
    *("run_name", "event_name", "job_id", "machine_name", "nproc", "attempt", "run_path"),
    *("start_time", "retry_at", "last_failure", "exit_code", "failure_reason", "ended_state"),
    *("batch_system", "batch_job_id", "batch_state", "batch_nodes", "batch_name"),
)


@click.command(short_help="Say where a run stands, and why it is not running.")
@click.argument("run", metavar="STUDY.ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, as_json: bool) -> None:
    """Say where a run stands, why it is not running, and what to do about it.

    Of a run that waits: what is missing (supervisor, launcher, server, slots and who has them), or
    until when it waits for its retry. Of one that runs: since when, where, what is left of its
    time, and the last line of its output. Of one that has ended: how, why, and the end of its
    stderr. And who awaits it. It changes nothing, and works with and without a supervisor.

    \b
    Examples:
      motoko explain mult.3
      motoko explain mult.3 --json
    """
    config = load()
    name, _, number = run.rpartition(".")
    if not name or not number.isdecimal():
        raise ConfigError(
            f"{run!r} names no run", hint="write STUDY.ID, such as mult.3, as `motoko info`"
        )
    facts = gather(config, study_named(config, name), int(number))
    explanation = explain(facts)
    if as_json:
        click.echo(json.dumps(as_object(facts, explanation), indent=2, default=str))
    else:
        _print(facts, explanation)


def gather(config: WorkflowConfig, study: StudyConfig, number: int) -> Facts:
    """What is known of a run, from its base, its directory, the daemons and the host."""
    from motoko.bd.executions import changed_at

    state = collect(config)
    with _reading(config, study) as (base, answers):
        run = base.runs.entries.get(number)
        if run is None:
            raise ConfigError(
                f"study {study.name} has no run {number}",
                hint=f"it has {len(base.runs.entries)} runs: see `motoko info`",
            )
        entries = dict(run.entries.items())
        changed = changed_at(run)
        daemons = {daemon["name"]: daemon for daemon in state["daemons"]}
        policy, problem = None, ""
        try:
            policy = study.policy.changed(entries)
        except ValueError as error:
            problem = str(error)
        outputs = _outputs(entries)
        facts = Facts(
            study=study.name,
            run_id=number,
            entries=entries,
            now=time.time(),
            host=socket.gethostname(),
            policy=policy,
            policy_error=problem,
            supervisor=state["supervisor"],
            daemons=daemons,
            server_answers=answers,
            execution=_execution(study, entries),
            changed=changed,
            last_line=_last_line(outputs),
            stderr=tail(stderr_path(entries), STDERR_LINES),
            outputs=tuple(outputs),
            awaited_by=tuple(_awaiting(state["orchestrators"], f"{study.name}.{number}")),
            job=job_facts(config, entries),
        )
        launcher = daemons.get(f"launcher:{study.name}")
        counts = launcher.get("counts", {}) if launcher is not None else {}
        if "jobs" in counts or (not counts and study.generator != LOCAL):
            limit = config.batch.max_submitted
            facts = replace(
                facts, becomes_job=True, submitted=submitted(config), max_submitted=limit
            )
        elif facts.status == WAITING and facts.is_here and launcher is not None:
            facts = replace(facts, slots=_slots(config, base, facts, launcher))
    return facts


@contextlib.contextmanager
def _reading(config: WorkflowConfig, study: StudyConfig) -> Iterator[tuple[StudyBase, bool]]:
    """A study's base, and whether its server answers; if it does not, from the file."""
    from motoko.bd.base import open_file
    from motoko.bd.maintenance import opened

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


def _execution(study: StudyConfig, entries: Mapping[str, Any]) -> Execution:
    from motoko.bd.executions import attempt_of, claim_of, directory_of, members
    from motoko.workers.wrapper import read_exit

    directory, claim = directory_of(study, entries), claim_of(study, entries)
    if directory is None or claim is None:
        return Execution()
    attempt, living = attempt_of(entries), members(claim)
    code = read_exit(directory, attempt)
    return Execution(
        claimed=_changed(directory / f"attempt-{attempt}"),
        wrapper=claim.wrapper.pid if claim.wrapper in living else None,
        processes=len(living),
        rebooted=not claim.since_reboot,
        code=code,
        ended=_changed(directory / "exit.json") if code is not None else None,
    )


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _outputs(entries: Mapping[str, Any]) -> list[Path]:
    """The output files that there are: those of earlier attempts first."""
    path, number = entries.get("run_path"), entries.get("id")
    if not path:
        return []
    stem = output_stem(str(entries.get("run_name")))
    pattern = re.compile(re.escape(stem) + rf"\.([oe]){number}(?:\.(\d+))?")
    found = []
    with contextlib.suppress(OSError):
        for file in Path(path).iterdir():
            if match := pattern.fullmatch(file.name):
                found.append((int(match[2] or sys.maxsize), match[1] != "o", file))
    return [file for *_, file in sorted(found)]


def _last_line(outputs: list[Path]) -> str:
    """The last line of the present attempt's output."""
    for file in outputs[-2:]:
        lines = [line for line in tail(file).splitlines() if line.strip()]
        if lines:
            return lines[-1].strip()
    return ""


def _slots(
    config: WorkflowConfig, base: StudyBase, facts: Facts, launcher: Mapping[str, Any]
) -> Slots:
    from motoko.workers.slots import usable_cpus

    before = []
    for run in base.all_runs():
        entries = run.entries
        if entries["id"] >= facts.run_id:
            break
        due = float(entries.get("retry_at") or 0.0) <= facts.now
        here = entries.get("machine_name") in ("localhost", facts.host)
        if entries.get("state") == CREATED and due and here:
            before.append(f"{facts.study}.{entries['id']}")
    return Slots(
        count=launcher.get("counts", {}).get("slots") or config.slots or usable_cpus(),
        holders=tuple(slot_use.holders(config)),
        queue=tuple(slot_use.queue(config)),
        before=tuple(before),
    )


def _awaiting(orchestrators: list[dict[str, Any]], name: str) -> Iterator[str]:
    """Who says that it waits for a run."""
    pattern = re.compile(rf"(?<![\w-]){re.escape(name)}(?!\d)")
    for each in orchestrators:
        if any(pattern.search(text) for text in each["waiting"]):
            kind = "orchestrator" if each["registered"] else "script"
            text = f"{kind} {each['run_name']}, pid {each['pid']} on {each['host']}"
            yield f"{text}, waiting since {since(each['since'], time.time())}"


def as_object(facts: Facts, explanation: Explanation) -> dict[str, Any]:
    """Everything, as ``--json`` prints it."""
    entries, execution, slots = facts.entries, facts.execution, facts.slots
    limit = facts.policy.timeout if facts.policy else None
    left = None
    if limit is not None and execution.claimed is not None and execution.processes:
        left = execution.claimed + limit - facts.now
    return {
        "run": facts.name,
        "study": facts.study,
        "run_id": facts.run_id,
        "state": facts.state,
        "status": explanation.status,
        "summary": explanation.summary,
        "causes": [_cause(cause) for cause in explanation.causes],
        **{name: entries.get(name) for name in _KEPT},
        "attempts_allowed": facts.policy.retries + 1 if facts.policy else None,
        "changed": facts.changed,
        "started": execution.claimed,
        "ended": execution.ended,
        "pid": execution.wrapper,
        "processes": execution.processes,
        "host": facts.host if execution.processes else None,
        "time_limit_s": limit,
        "time_left_s": left,
        "last_line": facts.last_line or None,
        "stderr": facts.stderr,
        "outputs": [str(path) for path in facts.outputs],
        "awaited_by": list(facts.awaited_by),
        "slots": slots
        and {
            "count": slots.count,
            "free": slots.free,
            "holders": [vars(holder) for holder in slots.holders],
            "queue": list(slots.queue),
            "before": list(slots.before),
        },
        "supervisor": facts.supervisor.get("state"),
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {"code": cause.code, "text": cause.text, "do": cause.do, "more": list(cause.more)}


def _print(facts: Facts, explanation: Explanation) -> None:
    click.echo(explanation.summary)
    for cause in explanation.causes:
        click.echo(f"- {cause.text}")
        for line in cause.more:
            click.echo(f"    {line}")
        if cause.do:
            click.echo(f"    to do: {cause.do}")
    width = max(len(label) for label, _ in explanation.details)
    click.echo()
    before = ""
    for label, text in explanation.details:
        click.echo(f"{label if label != before else '':{width}}  {text}")
        before = label
    if explanation.status == ENDED and facts.state in FAILED_STATES and facts.stderr:
        click.echo("\nend of its stderr:")
        for line in facts.stderr.splitlines():
            click.echo(f"    {line}")
