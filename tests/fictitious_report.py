"""A report that does not exist: its facts, how they look, and the command that shows them."""

import click
import msgspec

from motoko.cli.render.tables import show_table
from motoko.config import WorkflowConfig, load


class StudyServer(msgspec.Struct, frozen=True):
    """Where a study is served."""

    study: str
    is_local: bool


def collect(config: WorkflowConfig) -> list[StudyServer]:
    return [StudyServer(study.name, study.is_local) for study in config.studies.values()]


@click.command()
@click.option("--json", "as_json", is_flag=True)
def command(as_json: bool) -> None:
    servers = collect(load())
    if as_json:
        click.echo(msgspec.json.encode(servers).decode())
    else:
        show_table(("study", "local"), [(each.study, str(each.is_local)) for each in servers])
