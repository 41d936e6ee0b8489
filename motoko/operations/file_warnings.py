"""What is suspicious in the files of studies, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.run_files import LAUNCH
from motoko.config.yaml_file import unreadable
from motoko.runs.launch_script import refuse_wrong_first_line
from motoko.runs.placeholders import PREFIX, names_of, placeholders
from motoko.runs.shell_texts import line_with_crlf, unquoted_texts
from motoko.runs.warm_start import refuse_cold_lines

# Larger files are looked at when tasks are created.
LOOKED_AT = 10**7


def file_warnings(config: WorkflowConfig) -> list[str]:
    """Warnings about the files of a workflow's own studies, one line each.

    Raises ``ConfigError`` for a file that cannot be read, and a launch.sh that cannot be executed.
    """
    return [
        warning
        for study in config.studies.values()
        if study.is_local
        for warning in _warnings(study)
    ]


def _warnings(study: StudyConfig) -> list[str]:
    contents = _contents(study)
    launch = contents.get(LAUNCH, b"")
    refuse_wrong_first_line(study.launch_script, launch)
    if study.policy.is_warm:
        refuse_cold_lines(study.launch_script, launch)
    return [*_names_without_parameters(study, contents), *_in_scripts(study, contents)]


def script_warnings(study: StudyConfig) -> list[str]:
    """Warnings about shell scripts: texts of parameters that become part of them, and line ends.

    Raises ``ConfigError`` for a file that cannot be read.
    """
    return _in_scripts(study, _contents(study))


def _in_scripts(study: StudyConfig, contents: Mapping[str, bytes]) -> list[str]:
    return [*_texts_in_scripts(study, contents), *_line_ends(study, contents)]


def _line_ends(study: StudyConfig, contents: Mapping[str, bytes]) -> list[str]:
    return [
        f"{study.name}/{name}, line {line}: it ends in CRLF, as Windows' lines do: the shell takes "
        f"the CR for a part of its last word (`dos2unix {name}` mends it)"
        for name, data in contents.items()
        if (line := line_with_crlf(name, data))
    ]


def _texts_in_scripts(study: StudyConfig, contents: Mapping[str, bytes]) -> list[str]:
    types = {**study.runs, **study.jobs}
    if str not in types.values():
        return []
    return [
        f"{study.name}/{name}, line {place.line}: the shell reads the text of {place.name!r}: "
        "blanks, quotes and $(...) in it count. "
        f"{PREFIX.decode()}{place.name}:sh__ is the text as one word"
        for name, data in contents.items()
        for place in unquoted_texts(name, data, types)
    ]


def _names_without_parameters(study: StudyConfig, contents: Mapping[str, bytes]) -> list[str]:
    """Warnings about names that only ``run_params`` of ``createTask`` could give a value."""
    known = names_of(study.jobs, {**study.runs, **study.run_params})
    return [
        f"{study.name}/{name}, line {place.line}: bd.yaml declares no parameter {place.name!r}:"
        f" createTask refuses {PREFIX.decode()}{place.name}__ unless run_params has it"
        for name, data in contents.items()
        for place in placeholders(data, known)
        if not place.is_known
    ]


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
