"""What views do to a run, and what they say then. Blocks: called in a thread."""

from __future__ import annotations

from motoko.cli.render.run_changes import outcome_of
from motoko.config import WorkflowConfig, load
from motoko.runs.references import Reference


def cancel(config: WorkflowConfig, run: Reference) -> str:
    """Cancel a run, and wait for its end; the outcome for people. Raises ``MotokoError``."""
    from motoko.operations.cancelled_runs import cancel_runs
    from motoko.operations.choosing import Choice

    done = cancel_runs(config, Choice({run.study: [run.run_id]}))
    for ended in done.runs:
        if ended.outcome is None:
            return f"{ended.study}.{ended.run_id}: still {ended.state} after {done.patience:.0f} s"
        return f"{ended.study}.{ended.run_id}: {outcome_of(ended)}"
    return f"{run.study}.{run.run_id}: nothing to cancel"


def retry(config: WorkflowConfig, run: Reference) -> str:
    """Have a failed run executed again; the outcome for people. Raises ``MotokoError``."""
    from motoko.operations.choosing import Choice
    from motoko.operations.retrying import has_launcher, retry_runs

    lines: list[str] = []
    choice = Choice({run.study: [run.run_id]})
    # Its launcher follows the files as they are now.
    for retried in retry_runs(load(config.path), choice, announce=lines.append):
        lines.append(f"{retried.study}.{retried.run_id}: CREATED again, attempt {retried.attempt}")
    if not has_launcher(config):
        lines.append("no launcher runs: `motoko launcher` starts them")
    return "\n".join(lines)
