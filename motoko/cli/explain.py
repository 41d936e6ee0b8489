"""``motoko explain``: the situation of a run, and why it is not running."""

from __future__ import annotations

import click

from motoko.cli.render.standing_line import tell_standing
from motoko.cli.selecting import named_run
from motoko.config import load


@click.command(short_help="Say where a run stands, and why it is not running.")
@click.argument("run", metavar="STUDY.ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, as_json: bool) -> None:
    """Say where a run stands, why it is not running, and what to do about it.

    For a run that waits: what is missing (supervisor, launcher, server, slots and the runs that
    have them), or when it will be retried. For a running run: since when and where it runs, how
    much of its time is left, and the last line of its output. For a run that has ended: how and
    why it ended, and the end of its stderr. For each of them: which orchestrators await it. The
    command changes nothing, and works with and without a supervisor.

    \b
    Examples:
      motoko explain mult.3
      motoko explain mult.3 --json
    """
    from motoko.cli.render import explained
    from motoko.reports.explain_facts import gather
    from motoko.reports.explanation import explain

    config = load()
    study, number = named_run(config, run)
    tell_standing(config, [study])
    facts = gather(config, study, number)
    show = explained.show_json if as_json else explained.show
    show(facts, explain(facts))
