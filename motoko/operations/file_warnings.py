"""Warnings about the files of studies, before runs are made with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.run_files import LAUNCH
from motoko.config.yaml_file import Remark, unreadable
from motoko.errors import Place
from motoko.runs.launch_script import refuse_wrong_first_line
from motoko.runs.placeholders import PREFIX, names_of, placeholders
from motoko.runs.shell_texts import line_with_crlf, unquoted_texts
from motoko.runs.warm_start import refuse_cold_lines

# Larger files are examined only when tasks are created.
LOOKED_AT = 10**7


def file_warnings(config: WorkflowConfig) -> list[Remark]:
    """Warnings about the files of a workflow's own studies, one line each.

    Raises ``ConfigError`` for a file that cannot be read or a launch.sh that cannot be executed.
    """
    return [
        warning
        for study in config.studies.values()
        if study.is_local
        for warning in study_warnings(study)
    ]


def study_warnings(study: StudyConfig) -> list[Remark]:
    """Warnings about the files of one study; raises what :func:`file_warnings` raises."""
    contents = _contents(study)
    launch = contents.get(LAUNCH, b"")
    refuse_wrong_first_line(study.launch_script, launch)
    if study.policy.is_warm:
        refuse_cold_lines(study.launch_script, launch)
    return [*_names_without_parameters(study, contents), *_in_scripts(study, contents)]


def script_warnings(study: StudyConfig) -> list[Remark]:
    """Warnings about shell scripts: parameters' texts that the shell interprets, and line ends.

    Raises ``ConfigError`` for a file that cannot be read.
    """
    return _in_scripts(study, _contents(study))


def _in_scripts(study: StudyConfig, contents: Mapping[str, bytes]) -> list[Remark]:
    return [*_texts_in_scripts(study, contents), *_line_ends(study, contents)]


def _line_ends(study: StudyConfig, contents: Mapping[str, bytes]) -> list[Remark]:
    return [
        _remark(
            study,
            name,
            line,
            "it ends in CRLF, as Windows' lines do: the shell takes the CR for a part of its last "
            f"word (`dos2unix {name}` mends it)",
        )
        for name, data in contents.items()
        if (line := line_with_crlf(name, data))
    ]


def _texts_in_scripts(study: StudyConfig, contents: Mapping[str, bytes]) -> list[Remark]:
    types = {**study.runs, **study.jobs}
    if str not in types.values():
        return []
    return [
        _remark(
            study,
            name,
            place.line,
            f"the shell reads the text of {place.name!r}: blanks, quotes and $(...) in it count. "
            f"{PREFIX.decode()}{place.name}:sh__ is the text as one word",
        )
        for name, data in contents.items()
        for place in unquoted_texts(name, data, types)
    ]


def _names_without_parameters(study: StudyConfig, contents: Mapping[str, bytes]) -> list[Remark]:
    """Warnings about placeholders that only ``run_params`` of ``createTask`` could fill."""
    known = names_of(study.jobs, {**study.runs, **study.run_params})
    return [
        _remark(
            study,
            name,
            place.line,
            f"bd.yaml declares no parameter {place.name!r}: createTask refuses "
            f"{PREFIX.decode()}{place.name}__ unless run_params has it",
        )
        for name, data in contents.items()
        for place in placeholders(data, known)
        if not place.is_known
    ]


def _remark(study: StudyConfig, name: str, line: int, problem: str) -> Remark:
    place = Place(study.files.get(name, study.launch_script), problem, line)
    return Remark(f"{study.name}/{name}, line {line}: {problem}", place)


def _contents(study: StudyConfig) -> Mapping[str, bytes]:
    files: dict[str, Path] = {LAUNCH: study.launch_script, **study.files}
    contents = {}
    for name, path in files.items():
        try:
            if path.stat().st_size <= LOOKED_AT:
                contents[name] = path.read_bytes()
        except OSError as error:
            raise unreadable(path, error) from error
    return contents
