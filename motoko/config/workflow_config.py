"""A workflow: its motoko.yaml with all its studies, as a typed, checked, frozen value."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from motoko.batch import registry
from motoko.config import daemon_kinds
from motoko.config import policy as policies
from motoko.config.archive_settings import NO_SETTINGS, ArchiveSettings
from motoko.config.batch_settings import BatchSettings
from motoko.config.daemon_kinds import DaemonKind
from motoko.config.decoding import Hint, Written, nearest
from motoko.config.left_out import NOTHING, Without
from motoko.config.notices import ADDRESS_HINT, FILE, NOBODY, VARIABLE, Notices
from motoko.config.packing_settings import NO_PACKING, PackingSettings
from motoko.config.policy import Policy
from motoko.config.remote import Remote, written_remote
from motoko.config.report_settings import ReportSettings
from motoko.config.study_config import (
    RESERVED_NAMES,
    Generator,
    StudyConfig,
    read_policy,
    study_config,
    warn_of_giving_way,
)
from motoko.config.supervision import Supervision
from motoko.config.workflow_format import check_format
from motoko.config.yaml_document import Reading, YamlDocument
from motoko.config.yaml_file import YamlFile, mode_of
from motoko.errors import ConfigError

FILE_NAME = "motoko.yaml"
# Below these keys 10:00 is read as a time.
_TIMES = frozenset({"supervisor", "batch"})
_STUDIES_HINT = "below `task_managers:`, write one indented line `name:` for each study"

_ORCHESTRATOR_HINT = (
    "write module.function: orchestrator.main is the function main of orchestrator.py"
)
_Function = Annotated[
    str,
    Meta(pattern=r"\A[^\W\d]\w*\.[^\W\d]\w*\Z"),
    Written("module.function"),
    Hint(_ORCHESTRATOR_HINT),
]
_StudyName = Annotated[str, Hint("name a study there")]


class WorkflowFile(Struct, frozen=True):
    """The keys of motoko.yaml that Motoko reads, without policies and the studies' own entries."""

    task_managers: Annotated[Mapping[str, Any], Hint(_STUDIES_HINT)]
    orchestrator: _Function | None = None  # it is required, but studies are checked first
    aliases: Mapping[str, _StudyName] = field(default_factory=dict)
    generator: Generator = registry.LOCAL
    slots: Annotated[int, Meta(ge=1)] | None = None
    batch: Annotated[
        BatchSettings, Hint("write settings such as `poll_interval: 30s` indented below it")
    ] = BatchSettings()
    runtime_dir: str | None = None
    remote: Annotated[
        Remote,
        Written("true, false or a mapping", "{address: 10.1.2.3, port: 40123}", written_remote),
        Hint("write `remote: true`, or one of address: and port:, or both, indented below it"),
    ] = Remote()
    packing: Annotated[
        PackingSettings, Hint("write `when: 5x` indented below it, or `days: 7`, or both")
    ] = NO_PACKING
    notify: Annotated[Notices, Hint("write `command:` or `urls:` indented below it")] = NOBODY
    supervisor: Annotated[
        Supervision, Hint("write settings such as `nice: 10` indented below it")
    ] = field(default_factory=Supervision)
    report: Annotated[
        ReportSettings, Hint("write `title:` and a list `plots:` indented below it")
    ] = ReportSettings()
    archive: Annotated[
        ArchiveSettings, Hint("write `licence:`, `authors:`, `title:` ... indented below it")
    ] = NO_SETTINGS


def known_keys() -> frozenset[str]:
    """The keys of motoko.yaml that Motoko reads; others are the user's own."""
    return frozenset(WorkflowFile.__struct_fields__) | _policy_keys()


def _policy_keys() -> frozenset[str]:
    return policies.keys() | _option_keys()


def _option_keys() -> frozenset[str]:
    return frozenset(registry.options_key(name) for name in registry.generators())


@dataclass(frozen=True)
class WorkflowConfig:
    """A workflow: motoko.yaml, checked, with all its studies."""

    path: Path  # of motoko.yaml, absolute, symbolic links not resolved
    directory: Path  # the directory of `path`
    studies: Mapping[str, StudyConfig]  # at least one, in the order of the file
    aliases: Mapping[str, str]  # each leads, perhaps through others, to a study
    orchestrator: tuple[str, str]  # module and function; whether they exist was not checked
    generator: str  # the studies' default
    slots: int | None
    batch: BatchSettings
    runtime_dir: Path | None  # absolute; whether it exists was not checked
    remote: Remote  # whether other hosts reach it; whether its address is ours was not checked
    supervision: Supervision
    report: ReportSettings
    raw: dict[str, Any]  # the file's content, with the user's own keys; the caller may change it
    warnings: tuple[str, ...]  # what is suspicious but no error, one line each
    packing: PackingSettings = NO_PACKING  # snapshots of earlier versions have none
    notices: Notices = NOBODY
    archive: ArchiveSettings = NO_SETTINGS

    @property
    def may_have_gate(self) -> bool:
        """Whether other hosts may reach the workflow: by ``remote:``, else by the generators."""
        if self.remote.wanted is not None:
            return self.remote.wanted
        return any(study.generator != registry.LOCAL for study in self.studies.values())

    @property
    def local_studies(self) -> list[str]:
        """The names of the studies whose databases are here."""
        return [study.name for study in self.studies.values() if study.is_local]

    @property
    def daemons(self) -> list[str]:
        """The names of all daemons of the workflow, without those that users ask for."""
        kinds = daemon_kinds.KINDS
        return [
            name
            for kind in kinds
            if self.notices.is_on or not kind.for_notices
            for name in kind.daemons(self.studies_with(kind))
        ]

    def studies_with(self, kind: DaemonKind) -> list[str]:
        """The names of the studies that have a daemon of a kind whose scope is the study."""
        if not kind.for_patience:
            return self.local_studies
        return [name for name in self.local_studies if self.studies[name].is_kept]


def find(where: str | os.PathLike[str] | None = None) -> Path:
    """The absolute path of a workflow's file (symbolic links not resolved), which exists.

    ``where`` is the file or its directory: by default the current one. Raises ``ConfigError`` if
    there is no such file.
    """
    if where is not None and not str(where).strip():
        raise ConfigError(
            f"{str(where)!r} names no workflow", hint="is a variable of your shell not set?"
        )
    try:
        path = Path(os.path.abspath("." if where is None else where))  # noqa: PTH100 (keeps links)
    except FileNotFoundError as error:
        raise ConfigError("the current directory is gone", hint="cd to the workflow") from error
    if stat.S_ISDIR(mode_of(path)):
        path /= FILE_NAME
    if not stat.S_ISREG(mode := mode_of(path)):
        hint = f"cd to the directory that has your {FILE_NAME}; `motoko init` makes a new workflow"
        if near := nearest(path.name, [other.name for other in path.parent.glob("*.y*ml")]):
            hint = f"there is a {near}: rename it, or name it in the command"
        problem = "is not a file" if mode else "there is no such file"
        raise ConfigError(f"{path}: {problem}", hint=hint)
    return path


def load(
    where: str | os.PathLike[str] | None = None, *, without: Without = NOTHING
) -> WorkflowConfig:
    """Find, read and check a workflow and its studies. Changes nothing, connects to nothing.

    ``where`` is as for :func:`find`; the keys in ``without`` are read as if they were absent.
    Raises ``ConfigError`` for the first thing that is wrong: it names the file and the key, and
    its hint says what to do. Raises ``NewerWorkflow`` where a later version of Motoko has worked.
    """
    path = find(where)
    _refuse_unusable(path)
    check_format(path.parent / ".wf")
    document = YamlDocument(path)
    read = without.of(path, document.content(_reading))
    file = YamlFile(path, path.name, read, [], document.line_of)
    content = file.decoded(WorkflowFile, file.content)
    file.warn_unknown(WorkflowFile, _policy_keys(), file.content)
    # These have no effect yet.
    for key in sorted(_option_keys() - policies.keys()):
        if (options := file.content.get(key)) is not None:
            file.decoded(policies.OptionTexts, options, key)
    policy = read_policy(file, Policy(), file.content, "")
    if not content.task_managers:
        raise file.error("task_managers", "is missing or empty", _STUDIES_HINT)
    studies = {
        name: study_config(file, name, entry, policy, content.generator, without)
        for name, entry in content.task_managers.items()
    }
    for study in studies.values():
        check_format(study.database.directory)
    _check_aliases(file, content.aliases, studies)
    _check_ports(file, studies, content.remote)
    if content.orchestrator is None:
        raise file.error("orchestrator", "is missing or empty", _ORCHESTRATOR_HINT)
    module, _, function = content.orchestrator.partition(".")
    return WorkflowConfig(
        path=path,
        directory=path.parent,
        studies=MappingProxyType(studies),
        aliases=MappingProxyType(dict(content.aliases)),
        orchestrator=(module, function),
        generator=registry.generator(content.generator),
        slots=content.slots,
        batch=content.batch,
        runtime_dir=_runtime_dir(file, content.runtime_dir),
        remote=content.remote,
        supervision=_supervision(file, content.supervisor),
        report=content.report,
        raw=file.content,
        warnings=tuple(file.warnings),
        packing=content.packing,
        notices=_notices(file, content.notify),
        archive=content.archive,
    )


def _reading(keys: tuple[str, ...]) -> Reading:
    if keys[0] in _TIMES or keys == ("notify", "stalled_after"):
        return Reading.TIME
    return policies.reading(keys[2:] if keys[0] == "task_managers" else keys)


def _refuse_unusable(path: Path) -> None:
    """Raise ``ConfigError`` for a directory whose name a ZEO server's configuration cannot hold."""
    for real in (path, path.resolve()):
        text = str(real)
        try:
            text.encode()
            wrong = "has a line break" if {"\n", "\r"} & {*text} else ""
        except UnicodeEncodeError:
            wrong = "has bytes that are no UTF-8"
        if wrong:
            raise ConfigError(
                f"the workflow's path {wrong}: {os.fsencode(real).decode(errors='replace')!r}",
                hint="rename that directory: databases cannot be served there",
            )


def _notices(file: YamlFile, notices: Notices) -> Notices:
    for number, name in enumerate(notices.urls, 1):
        kind, _, rest = name.partition(":")
        if f"{kind}:" not in (VARIABLE, FILE) or not rest:
            # What is written there is not shown: it may hold a password.
            raise file.error("notify.urls", f"no. {number} is an address itself", ADDRESS_HINT)
    return notices


def _check_aliases(
    file: YamlFile, aliases: Mapping[str, str], studies: Mapping[str, StudyConfig]
) -> None:
    for name, target in aliases.items():
        key, chain = f"aliases.{name}", [name]
        if name in studies:
            raise file.error(key, f"{name!r} is a study already", "give the alias another name")
        if name in RESERVED_NAMES:
            file.warn(key, f"is hidden by workflow.{name}, which is something else")
        warn_of_giving_way(file, key, name)
        while target not in studies:
            if target in chain:
                loop = " -> ".join([*chain, target])
                raise file.error(key, f"goes in a circle: {loop}", "let one of them name a study")
            if target not in aliases:
                near = nearest(target, [*studies, *aliases])
                hint = f"did you mean {near!r}?" if near else f"studies: {', '.join(studies)}"
                raise file.error(key, f"{target!r} is no study and no alias", hint)
            chain.append(target)
            target = aliases[target]


def _check_ports(file: YamlFile, studies: Mapping[str, StudyConfig], remote: Remote) -> None:
    """Raise ``ConfigError`` for a TCP address that is given twice."""
    holders: dict[tuple[str, int], str] = {}
    for study in studies.values():
        if study.tcp_address is None:
            continue
        key, (host, port) = f"task_managers.{study.name}.host", study.tcp_address
        place = ("this host" if study.is_local else host.lower(), port)
        hint = "give each another port"
        if (other := holders.get(place)) is not None:
            raise file.error(key, f"{study.host} is the address of {other}, too", hint)
        if study.is_local and port == remote.port:
            raise file.error("remote.port", f"{port} is {study.name}'s, too: {study.host}", hint)
        holders[place] = study.name


def _supervision(file: YamlFile, settings: Supervision) -> Supervision:
    """The settings with ``backoff_max`` raised to ``backoff_min`` if the default is less."""
    least, most = settings.backoff_min, settings.backoff_max
    if most >= least:
        return settings
    if file.content["supervisor"].get("backoff_max") is not None:
        raise file.wrong("supervisor.backoff_max", most, f"at least backoff_min, {least:g}s")
    return msgspec.structs.replace(settings, backoff_max=least)


def _runtime_dir(file: YamlFile, text: str | None) -> Path | None:
    if not text:
        return None
    try:
        path = file.path.parent / Path(text).expanduser()
    except RuntimeError as error:
        raise file.wrong("runtime_dir", text, "a path", "there is no such user") from error
    return Path(os.path.abspath(path))  # noqa: PTH100 (keeps links)
