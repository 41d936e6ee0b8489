"""All faults in motoko.yaml and the studies' bd.yaml, and not just the first one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from motoko.config import StudyConfig, WorkflowConfig, load
from motoko.config.left_out import NOTHING, Without
from motoko.config.workflow_config import find
from motoko.config.yaml_file import Remark
from motoko.errors import ConfigError
from motoko.operations.findings import Finding

_STUDIES = "task_managers"


@dataclass(frozen=True)
class Examined:
    """A workflow's files as far as they could be read.

    Attributes:
        path: the path of motoko.yaml.
        config: the workflow without the faulty parts; ``None`` if nothing readable was left.
        left_out: the names of the studies that ``config`` lacks because of faults in them.
        findings: the errors and warnings.
    """

    path: Path
    config: WorkflowConfig | None
    left_out: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def whole_studies(self) -> list[StudyConfig]:
        """The studies that could be read, without the faulty parts."""
        return [] if self.config is None else [*self.config.studies.values()]


def examined(where: Path | None) -> Examined:
    """Read a workflow repeatedly: each time without the part that was faulty the time before.

    Raises ``ConfigError`` if there is no workflow.
    """
    path = find(where)
    findings: list[Finding] = []
    without = NOTHING
    left_out: dict[str, None] = {}
    config = None
    while config is None:
        try:
            config = load(path, without=without)
        except ConfigError as error:
            if not _follows(error, path, without, left_out):
                findings.append(Finding.of_error(error, path))
            narrower = _narrower(error, path, without, left_out)
            if narrower is None:
                break
            without = narrower
    remarks = [] if config is None else config.warnings
    findings += [Finding.of_remark(remark) for remark in remarks if isinstance(remark, Remark)]
    return Examined(path, config, (*left_out,), (*findings,))


def _follows(error: ConfigError, path: Path, without: Without, left_out: dict[str, None]) -> bool:
    """Whether an error occurs only because another part was left out before."""
    place = error.place
    if place is None or not place.key:
        return False
    is_alias = place.file == path and place.key.startswith("aliases.")
    of_left_out = is_alias and any(f"{name!r} is no study" in place.problem for name in left_out)
    return of_left_out or without.has(place.file, place.key)


def _narrower(
    error: ConfigError, path: Path, without: Without, left_out: dict[str, None]
) -> Without | None:
    """The parts to leave out, with one more; ``None`` if no more can be left out."""
    place = error.place
    if place is None:
        return None
    if place.key and not without.has(place.file, place.key):
        names = place.key.split(".")
        if place.file == path and names[0] == _STUDIES and len(names) == 2:
            left_out[names[1]] = None
        return without.and_without(place.file, place.key)
    # Otherwise leave out the study whose entry or file is faulty.
    names = place.key.split(".")
    study = place.file.parent.name
    if place.file == path:
        study = names[1] if names[0] == _STUDIES and len(names) > 1 else ""
    key = f"{_STUDIES}.{study}"
    if not study or study in left_out:
        return None
    left_out[study] = None
    return without.and_without(path, key)
