"""Checking a workflow without starting or changing anything: all findings at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from motoko.batch import registry
from motoko.batch.batch_system import WrongOption
from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.policy import SELF
from motoko.config.run_files import DO_IT, LAUNCH
from motoko.config.yaml_document import YamlDocument
from motoko.control.client import is_supervised
from motoko.errors import ConfigError, MotokoError
from motoko.operations import starting
from motoko.operations.config_findings import Examined, examined
from motoko.operations.file_warnings import study_warnings
from motoko.operations.findings import Finding
from motoko.operations.python_findings import do_it_findings, orchestrator_findings, shadowing
from motoko.operations.script_findings import script_findings
from motoko.runs.run_programs import python_directory, search_path

# Variables that change which modules Python finds.
_PYTHONS_OWN = ("PYTHONPATH", "PYTHONHOME")


def validate(where: Path | None) -> list[Finding]:
    """The findings in a workflow, errors and warnings, by file and line.

    Raises ``ConfigError`` if there is no workflow.
    """
    seen = examined(where)
    findings = [*seen.findings, *_of_studies(seen)]
    if seen.config is not None:
        findings += _of_orchestrator(seen.config)
        findings += _of_starting(seen.config)
    unique = dict.fromkeys(findings)
    return sorted(unique, key=lambda f: (str(f.file), f.line or 0, not f.is_error))


def _of_orchestrator(config: WorkflowConfig) -> Iterator[Finding]:
    module, function = config.orchestrator
    path = config.directory / f"{module}.py"
    line = YamlDocument(config.path).line_of("orchestrator")
    yield from orchestrator_findings(path, config.path, line, function)
    yield from shadowing(sorted(config.directory.glob("*.py")))


def _of_starting(config: WorkflowConfig) -> Iterator[Finding]:
    """Findings for faults that `motoko supervise` would refuse."""
    checks = starting.checks_of_place(config)
    if not is_supervised(config):
        checks += starting.checks_of_config(config)
    for check in checks:
        try:
            check()
        except MotokoError as error:
            yield Finding.of_error(error, config.path)


def _of_studies(seen: Examined) -> Iterator[Finding]:
    for study in seen.whole_studies:
        if not study.is_local:
            continue
        try:
            yield from map(Finding.of_remark, study_warnings(study))
        except MotokoError as error:
            yield Finding.of_error(error, study.launch_script)
        others = [path for name, path in study.files.items() if name != DO_IT]
        is_known = _is_known_path(study)
        yield from script_findings(study.launch_script, [*study.files], is_known)
        if (do_it := study.files.get(DO_IT)) is not None:
            says_end = study.policy.finish == SELF
            is_known = _is_known_python(study)
            yield from do_it_findings(do_it, others, says_end=says_end, is_known_place=is_known)
        yield from shadowing([path for path in others if path.parent == study.directory])
        yield from _of_jobs(study, seen.path)
    for name in seen.left_out:
        # The study's entry cannot be read: only these files can be checked.
        directory = seen.path.parent / name
        others = [*directory.glob("*")]
        yield from script_findings(directory / LAUNCH, [path.name for path in others], False)
        if (directory / DO_IT).is_file():
            do_it = directory / DO_IT
            yield from do_it_findings(do_it, others, says_end=False, is_known_place=False)


def _is_known_path(study: StudyConfig) -> bool:
    """Whether runs find the programs that this process finds."""
    is_here = study.generator == registry.LOCAL and not study.policy.modules
    return is_here and "PATH" not in study.policy.environment


def _is_known_python(study: StudyConfig) -> bool:
    """Whether runs find the modules that this process finds."""
    if not _is_known_path(study) or {*_PYTHONS_OWN} & {*study.policy.environment}:
        return False
    python = shutil.which("python", path=search_path())
    return python is not None and Path(python).parent == Path(python_directory())


def _of_jobs(study: StudyConfig, file: Path) -> Iterator[Finding]:
    """Findings about a study's batch jobs: options that are refused, packs that take too long."""
    system = registry.systems().get(study.generator)
    if system is None:
        if "pack" in study.settings:
            text = "pack: is for batch jobs, and changes nothing for runs of this host"
            yield _of_pack(study, file, text, "remove it, or give the study `generator: slurm`")
        return
    path = study.launch_script
    try:
        system.check(path)
        script = path.read_text(errors="replace")
        chosen = study.policy.options_for(study.generator)
        options = system.job_options(script, chosen, study.policy.nproc)
    except WrongOption as error:
        yield Finding(path, None, str(error), "correct its directives")
        return
    except (ConfigError, OSError):
        return  # another check reports that
    pack, timeout = study.policy.pack, study.policy.timeout
    if pack is not None and timeout is not None and options.limit is not None:
        rounds = -(-pack.runs // pack.at_once)
        if rounds * timeout > options.limit:
            yield _of_pack(
                *(study, file),
                f"{pack.runs} runs of {timeout:g} s, {pack.at_once} at once, may take longer than "
                f"the {options.limit:g} s of their job: those that it does not come to are "
                "submitted again",
                "allow the job more time, or make packs smaller",
            )
    if refusal := system.refusal(options):
        remedy = f"correct {registry.options_key(study.generator)} in motoko.yaml, or {LAUNCH}"
        yield Finding(
            path, None, f"{system.submit_command} would refuse its jobs: {refusal}", remedy
        )


def _of_pack(study: StudyConfig, file: Path, text: str, remedy: str) -> Finding:
    """A warning about a study's packs, at the place where they are wanted."""
    key = f"task_managers.{study.name}.pack" if "pack" in study.settings else "pack"
    line = YamlDocument(file).line_of(key)
    return Finding(file, line, f"{study.name}: {text}", remedy, is_error=False)
