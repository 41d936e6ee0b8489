"""``motoko doctor``: check whether this is a good place to run."""

from __future__ import annotations

from pathlib import Path

import click

from motoko.cli.texts import WORKFLOW_PATH

EXIT_FAILURE = 1


@click.command(short_help="Say whether this is a good place to run.")
@click.argument("directory", required=False, type=WORKFLOW_PATH)
@click.option("--nodes", is_flag=True, help="Check a node, too: by a batch job of one minute.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, directory: Path | None, nodes: bool, as_json: bool) -> None:
    """Say whether this is a good place to run, and what to do about it if not.

    The command checks versions, locks, sockets, permissions, limits, memory, disk, clocks, what
    happens at logout, the scheduler, running daemons and databases. It works with and without a
    workflow, and changes nothing. With --nodes, a batch job of one minute checks the same on a
    node, and whether the node reaches the workflow.

    Exits with 0, or with 1 if a check has failed.
    """
    from motoko.cli.render import findings_table
    from motoko.health.check_findings import Level
    from motoko.health.examination import Check, examine
    from motoko.health.looked_at import place_of

    place = place_of(directory)
    also: tuple[Check, ...] = ()
    if nodes:
        from motoko.health.node_examination import on_a_node

        also = (on_a_node,)
    findings = examine(place, also)
    show = findings_table.show_json if as_json else findings_table.show
    show(place.directory, findings)
    if any(finding.level is Level.FAILURE for finding in findings):
        context.exit(EXIT_FAILURE)
