"""The tables of a study as files, for those who have no Motoko."""

from __future__ import annotations

from pathlib import Path

from motoko.cli.render import parquet_files, written_tables
from motoko.config import StudyConfig, WorkflowConfig
from motoko.errors import ConfigError
from motoko.reports.chosen_runs import Wanted
from motoko.reports.results import results


def has_parquet() -> bool:
    """Whether the tables can be written as Parquet, too."""
    try:
        parquet_files.check()
    except ConfigError:
        return False
    return True


def write_tables(
    config: WorkflowConfig, study: StudyConfig, place: Path
) -> list[tuple[str, type | None]]:
    """Write a study's parameters and results as CSV and, with pyarrow, as Parquet.

    Returns the columns, each with the type of its first value.
    """
    columns: list[tuple[str, type | None]] = []
    for form in ("csv", *([written_tables.PARQUET] if has_parquet() else [])):
        with results(config, study, Wanted()) as table:
            output = place / f"{study.name}.{form}"
            tids = {study.name: table.tid}
            written_tables.write(table.columns, table.parts, form, output, tids, table.types)
            columns = list(zip(table.columns, table.types, strict=True))
    return columns
