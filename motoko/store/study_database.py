"""Creating, counting and resetting a study's database."""

from __future__ import annotations

import contextlib
import logging
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import transaction
from ZODB.POSException import POSError

from motoko.config import StudyConfig
from motoko.errors import StudyUnavailable
from motoko.runs.fences import fences_directory
from motoko.runs.paths import runs_directory
from motoko.store.base import StudyBase, open_file
from motoko.store.declarations import Difference, differences, make_known
from motoko.store.schemas import schema_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contents:
    """What a study's database holds."""

    jobs: int
    runs: int


def create_study(study: StudyConfig) -> None:
    """Initialise a study's database through BlackDynamite; an earlier one is removed.

    No process may serve the study. No server is started.
    """
    bd_dir = study.database.directory
    shutil.rmtree(bd_dir, ignore_errors=True)
    shutil.rmtree(runs_directory(study), ignore_errors=True)
    # Fences name runs by number, and the next runs have the same numbers.
    fences = fences_directory(study.directory.parent, study.name)
    shutil.rmtree(fences, ignore_errors=True)
    bd_dir.mkdir()
    base = open_file(study, schema=schema_of(study.bd_name))
    try:
        initialise(base)
    finally:
        base.close()
    make_known(study)


def initialise(base: StudyBase) -> None:
    """Set up a base's study in an empty database, and save it."""
    study = base.study
    base.createBase(
        _description(base.Job(), study.jobs), _description(base.Run(), study.runs), yes=True
    )


def rename_schema(study: StudyConfig) -> None:
    """Give a study in its database the name under which BlackDynamite looks for it.

    Earlier versions of Motoko gave it another name. No process may serve the study. Its name is
    one that BlackDynamite takes for a schema.
    """
    name = study.bd_name.lower()
    base = open_file(study)
    try:
        schemas = base.root.schemas.entries
        if base.schema != name:
            schemas[name] = schemas.pop(base.schema)
            transaction.commit()
            log.info("the database calls the study %s now, and no longer %s", name, base.schema)
    finally:
        base.close()


def _description(parameters: Any, types: Any) -> Any:
    for name, kind in types.items():
        parameters.types[name] = kind
    return parameters


def contents(study: StudyConfig) -> Contents:
    """How many jobs and runs a created study holds. The database is only read, served or not.

    Raises ``StudyUnavailable`` for a database that cannot be read.
    """
    with _read(study) as base:
        content = base.content
        return Contents(len(content["Jobs"].entries), len(content["Runs"].entries))


def changed_declarations(study: StudyConfig) -> list[Difference]:
    """How bd.yaml's declarations differ from a created study's database, which is only read.

    Raises ``StudyUnavailable`` for a database that cannot be read.
    """
    with _read(study) as base:
        return differences(base)


@contextlib.contextmanager
def _read(study: StudyConfig) -> Iterator[StudyBase]:
    try:
        base = open_file(study, read_only=True)
        try:
            yield base
        finally:
            base.close()
    except (OSError, POSError, KeyError, pickle.UnpicklingError, EOFError) as error:
        raise StudyUnavailable(
            f"the database of study {study.name} cannot be read: {error!r}",
            hint=f"restore {study.database.directory} from a backup, or `motoko kill --reset`",
        ) from error
