"""Adding a study to a workflow, for a program that knows nothing of BlackDynamite."""

from __future__ import annotations

import keyword
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motoko.config import load
from motoko.config.decoding import WrongValue
from motoko.config.policy import ON_EXIT, Policy
from motoko.config.reserved_names import why_reserved
from motoko.config.result_rules import refuse_clashes
from motoko.config.run_files import LAUNCH
from motoko.config.study_config import study_config, why_no_study
from motoko.config.workflow_config import FILE_NAME
from motoko.config.yaml_file import YamlFile
from motoko.config.yaml_insertion import entry, with_study
from motoko.errors import ConfigError
from motoko.host.files import write_atomically
from motoko.operations.new_files import undo, write_new
from motoko.operations.starter_files import GIT_IGNORE, MOTOKO_YAML
from motoko.runs.command_line import Word, line, names, parsed, replaced

# The types that a parameter may have here, each with a sample value as Python source.
SAMPLES: Mapping[str, str] = {"float": "1.0", "int": "1", "str": '"a"', "bool": "True"}
_FLOAT = "float"

_LAUNCH = """\
# What a run executes, in a directory of its own. `{prefix}` and a name stand for a value;
# `:sh` after the name quotes it for the shell.
{line}
"""
_ORCHESTRATOR = '''\
"""Decides what is computed: creates runs, awaits them, uses their results."""


async def main(workflow, **params):
    # A list stands for several values: one run for each of them. Write yours here.
    runs = await {create}
    for run, job in runs:
        print({shown})
'''


@dataclass(frozen=True)
class Added:
    """The files that were written for a new study.

    Attributes:
        files: the paths of the new files, relative to the workflow's directory.
        create: the call that creates the study's runs in an orchestrator.
        warnings: possible problems, one line each.
        is_new: whether the workflow was created as well.
    """

    files: tuple[str, ...]
    create: str
    warnings: tuple[str, ...]
    is_new: bool


def add_study(
    directory: Path,
    study: str,
    command: str,
    types: Mapping[str, str],
    results: Mapping[str, tuple[str, str]],
) -> Added:
    """Write a study that executes a command, and add it to motoko.yaml, which is made if missing.

    Args:
        directory: the workflow's directory.
        study: the study's name.
        command: the command of a run, with ``{name}`` for the value of a parameter.
        types: the parameters' types; other parameters of the command are floats.
        results: each result's type, and the regular expression that finds it in the output.

    Raises ``ConfigError``; then nothing is changed.
    """
    directory = Path(os.path.abspath(directory))  # noqa: PTH100 (keeps links)
    words = parsed(command)
    parameters = {**dict.fromkeys(names(words), _FLOAT), **types}
    _check_names(study, parameters, results)
    settings = _settings(parameters, results)
    words, copied, warnings = _with_files(directory, study, words)
    files = {
        f"{study}/bd.yaml": _bd_yaml(study, parameters, copied),
        f"{study}/{LAUNCH}": _LAUNCH.format(prefix="__BLACKDYNAMITE__", line=line(words)),
    }
    path = directory / FILE_NAME
    create = _create(study, parameters)
    if not path.exists():
        shown = _shown(study, results)
        files["orchestrator.py"] = _ORCHESTRATOR.format(create=create, shown=shown)
        files[".gitignore"] = GIT_IGNORE
        lines = "".join(f"    {text}\n" for text in _dumped(settings))
        files[FILE_NAME] = MOTOKO_YAML.format(study=study, settings=lines)
        made = write_new(directory, files)
        try:
            load(directory)
        except ConfigError:
            undo(directory, made)
            raise
        return Added((*made,), create, warnings, is_new=True)
    text = _changed_yaml(path, study, settings)
    made = write_new(directory, files)
    try:
        study_config(YamlFile(path, path.name, {}), study, settings, Policy(), "bash")
        _replace(path, text)
    except (ConfigError, OSError):
        undo(directory, made)
        raise
    return Added((*made,), create, warnings, is_new=False)


def _check_names(
    study: str, parameters: Mapping[str, str], results: Mapping[str, tuple[str, str]]
) -> None:
    if (unfit := why_no_study(study)) is not None:
        hint = "a study's name starts with a-z and goes on with a-z, 0-9, _ and -"
        raise ConfigError(f"{study!r} is a name that cannot be a study{unfit}", hint=hint)
    if not parameters:
        raise ConfigError(
            "the study has no parameters: all its runs would be the same",
            hint="write {name} where the command has a value: './sim -x {x}'; or give --param",
        )
    for name, kind in parameters.items():
        why = why_reserved("job", name, parameters)
        if name.lower() != name:
            why = f"upper and lower case are the same: call it {name.lower()}"
        if keyword.iskeyword(name):
            why = "it is a word of Python's: createTask() could not be called with it"
        if why:
            raise ConfigError(f"parameter {name!r}: {why}", hint="rename it in the command")
        if kind not in SAMPLES:
            problem = f"parameter {name}: there is no type {kind!r} here"
            raise ConfigError(problem, hint=f"the types are {', '.join(SAMPLES)}")
    for name in results:
        if keyword.iskeyword(name):
            problem = f"result {name!r}: it is a word of Python's"
            raise ConfigError(problem, hint="rename it: `run.name` could not be written")


def _settings(
    parameters: Mapping[str, str], results: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """The study's entry in motoko.yaml."""
    settings: dict[str, Any] = {"finish": ON_EXIT}
    if results:
        settings["results"] = {
            name: regex if kind == _FLOAT else {"regex": regex, "type": kind}
            for name, (kind, regex) in results.items()
        }
    try:
        policy = Policy().changed(settings)
        refuse_clashes(policy.results, {"job": parameters}, "results")
    except WrongValue as wrong:
        raise ConfigError(f"{wrong.name}: {wrong.problem}", hint=wrong.hint) from None
    return settings


def _with_files(
    directory: Path, study: str, words: Sequence[Word]
) -> tuple[list[Word], list[str], tuple[str, ...]]:
    """The command as runs call it, the files that are copied into run directories, and warnings."""
    texts: dict[str, str] = {}
    copied: dict[str, str] = {}
    first = words[0].text
    for word in words:
        text = word.text
        if text is None or text in texts or text.startswith("/"):
            continue
        is_program = word is words[0]
        if is_program and text.startswith("~/"):
            texts[text] = str(Path(text).expanduser())
            continue
        path = directory / text
        if is_program and "/" in text and not path.is_file():
            hint = "make it first, or name it by its absolute path"
            raise ConfigError(f"{text}: there is no such file in {directory}", hint=hint)
        if not path.is_file() or (is_program and "/" not in text):
            continue
        if is_program and not os.access(path, os.X_OK):
            raise ConfigError(f"{path}: cannot be executed", hint=f"chmod +x {shlex.quote(text)}")
        if copied.get(path.name, text) != text:
            problem = f"{text} and {copied[path.name]} have the same name in run directories"
            raise ConfigError(problem, hint="rename one of them")
        copied[path.name] = text
        texts[text] = f"./{path.name}" if is_program else path.name
    warnings: tuple[str, ...] = ()
    if first is not None and "/" not in first and shutil.which(first) is None:
        warnings = (f"{first} is not on PATH here: runs fail where it is not",)
    listed = [os.path.relpath(directory / text, directory / study) for text in copied.values()]
    return [replaced(word, texts) for word in words], listed, warnings


def _bd_yaml(study: str, parameters: Mapping[str, str], copied: Sequence[str]) -> str:
    content: dict[str, Any] = {"study": study, "job": dict(parameters)}
    if copied:
        content["config_files"] = [*copied]
    return "\n".join(_dumped(content)) + "\n"


def _dumped(content: Mapping[str, Any]) -> list[str]:
    return [text for key, value in content.items() for text in entry(key, value)]


def _create(study: str, parameters: Mapping[str, str]) -> str:
    values = ", ".join(f"{name}=[{SAMPLES[kind]}]" for name, kind in parameters.items())
    is_plain = study.isidentifier() and not keyword.iskeyword(study)
    manager = f"workflow.{study}" if is_plain else f'workflow.task_managers["{study}"]'
    return f"{manager}.createTask({values})"


def _shown(study: str, results: Mapping[str, tuple[str, str]]) -> str:
    values = ", ".join(f"{name} = {{run.{name}}}" for name in results) or "{run.state}"
    return f'f"{study}.{{run.id}}: {values}"'


def _changed_yaml(path: Path, study: str, settings: dict[str, Any]) -> str:
    """motoko.yaml's text with the study. Raises ``ConfigError``."""
    config = load(path)
    if study in config.studies or study in config.aliases:
        raise ConfigError(f"{path}: there is a {study} already", hint="give another name")
    with open(path, newline="", encoding="utf-8") as file:
        text = with_study(file.read(), study, settings)
    if text is None:
        lines = "\n".join(f"  {text}" for text in entry(study, settings))
        raise ConfigError(
            f"{path}: the studies do not stand in lines of their own, where one can be added; "
            "nothing was changed",
            hint=f"write each study into a line of its own below `task_managers:`, call this once "
            f"more, or add it by hand:\n{lines}",
        )
    return text


def _replace(path: Path, text: str) -> None:
    real = path.resolve()  # a link stays a link
    mode = real.stat().st_mode & 0o7777
    write_atomically(real, text)
    real.chmod(mode)
