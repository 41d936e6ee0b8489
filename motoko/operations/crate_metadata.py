"""What is in an archive, as an RO-Crate says it: ro-crate-metadata.json, by the library rocrate."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from motoko.config import WorkflowConfig
from motoko.config.archive_settings import Author
from motoko.host.durations import counted
from motoko.host.extras import extra
from motoko.operations.archive_file import FOLDER, Member

VERSION = "1.2"  # of the specification
NO_LICENCE = "No licence is given: all rights stay with the authors"
_LICENCES = "https://spdx.org/licenses/"
_ORCID = "https://orcid.org/"
_RUNS = "/BD-"  # run directories, and databases, are described as a whole
_DATABASE = "/.bd/"
_TYPES = {
    int: "Integer",
    float: "Float",
    str: "Text",
    bool: "Boolean",
    list: "ItemList",
    tuple: "ItemList",
}
_MEDIA = {
    ".parquet": "application/vnd.apache.parquet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".py": "text/x-python",
    ".sh": "application/x-sh",
    ".md": "text/markdown",
}
_MADE = {
    f"{FOLDER}/report.html": "What was computed, when, and what failed (motoko report)",
    f"{FOLDER}/graph.svg": "How runs have led to runs, drawn",
    f"{FOLDER}/graph.json": "How runs have led to runs, as data",
    f"{FOLDER}/environment.json": "Versions of Python and packages, host, and git commit",
}
_OF_STUDY = {
    "bd.yaml": "Which parameters there are in study",
    "doIt.py": "What is computed by a run of study",
    "launch.sh": "What starts a run of study",
}


@dataclass(frozen=True)
class Software:
    """A package that has computed it; ``url`` and ``version``: if they are known."""

    name: str
    version: str | None
    url: str | None


@dataclass(frozen=True)
class Quantity:
    """A column of a study's table.

    Attributes:
        name: its name.
        kind: ``"job"`` or ``"run"`` for a parameter of jobs or runs; ``"result"`` else.
        type: the type of its values, if it is known.
    """

    name: str
    kind: str
    type: type | None


@dataclass
class CrateFacts:
    """What the archive is about.

    Attributes:
        studies: by name, the columns of the tables of the studies that are in it.
        runs: how many runs each of them has.
        published: the date of the archive (ISO).
        python: the version of Python; software: the packages that it was computed with.
        commit: the git commit of the workflow's directory.
        outputs: which files of run directories were wanted.
    """

    studies: Mapping[str, Sequence[Quantity]]
    runs: Mapping[str, int]
    published: str
    python: str = ""
    software: Sequence[Software] = ()
    commit: str | None = None
    outputs: Sequence[str] = ()


def check() -> Any:
    """The module rocrate.rocrate; ``ConfigError`` if it is missing."""
    return extra("rocrate.rocrate", "archive", "motoko archive")


def metadata(config: WorkflowConfig, facts: CrateFacts, members: Mapping[str, Member]) -> str:
    """The text of ro-crate-metadata.json.

    Args:
        config: the workflow, as it is in the archive.
        facts: what the archive is about.
        members: the archive's files, by name.
    """
    return _Crate(config, facts, members).text()


class _Crate:
    def __init__(
        self, config: WorkflowConfig, facts: CrateFacts, members: Mapping[str, Member]
    ) -> None:
        self._config, self._facts, self._members = config, facts, members
        self._crate = check().ROCrate(version=VERSION)
        from rocrate.model import ContextEntity, File

        self._entity, self._file = ContextEntity, File
        self._orchestrator = f"{config.orchestrator[0].replace('.', '/')}.py"

    def text(self) -> str:
        root, settings = self._crate.root_dataset, self._config.archive
        authors = [
            self._author(number, author) for number, author in enumerate(settings.authors, 1)
        ]
        root["name"] = settings.title or self._config.report.title or self._config.directory.name
        root["description"] = settings.description or self._description()
        root["datePublished"] = self._facts.published
        root["license"] = self._licence(settings.licence)
        if authors:
            root["author"] = _plain(authors)
        self._python = self._add(
            "#python",
            type="ComputerLanguage",
            name="Python",
            url="https://www.python.org/",
            version=self._facts.python,
        )
        root["softwareRequirements"] = [
            self._python,
            *(self._software(one) for one in self._facts.software if one.url and one.version),
        ]
        files = {name: self._file_of(name) for name in self._described()}
        for study, quantities in self._facts.studies.items():
            self._describe(study, quantities, files)
        if self._orchestrator in files:
            root["mainEntity"] = files[self._orchestrator]
            self._computed(files, authors)
        self._directories()
        return json.dumps(self._crate.metadata.generate(), indent=2, ensure_ascii=False) + "\n"

    def _add(self, identifier: str, **properties: Any) -> Any:
        kind = properties.pop("type")
        return self._crate.add(
            self._entity(self._crate, identifier, properties={"@type": kind, **_given(properties)})
        )

    def _author(self, number: int, author: Author) -> Any:
        affiliation = None
        if author.affiliation is not None:
            affiliation = self._add(
                f"#organization-{number}", type="Organization", name=author.affiliation
            )
        identifier = f"#author-{number}" if author.orcid is None else f"{_ORCID}{author.orcid}"
        return self._add(identifier, type="Person", name=author.name, affiliation=affiliation)

    def _licence(self, licence: str | None) -> Any:
        if licence is None:
            return self._add(
                "#licence", type="CreativeWork", name="No licence", description=NO_LICENCE
            )
        is_address = licence.startswith(("http://", "https://"))
        identifier = licence if is_address else f"{_LICENCES}{licence}"
        return self._add(
            identifier,
            type="CreativeWork",
            name=licence,
            description=f"The licence of this archive: {licence}",
        )

    def _description(self) -> str:
        runs = ", ".join(f"{counted(n, 'run')} of {name}" for name, n in self._facts.runs.items())
        return f"A workflow of parametric studies, made with Motoko: {runs or 'no runs'}."

    def _software(self, software: Software) -> Any:
        return self._add(
            f"#software-{quote(software.name)}",
            type="SoftwareApplication",
            name=software.name,
            url=software.url,
            version=software.version,
        )

    def _described(self) -> list[str]:
        """The files that have an entity of their own: run directories may have a million."""
        studies = self._config.studies
        return [
            name
            for name in self._members
            if not any(
                name.startswith((f"{study}{_RUNS}", f"{study}{_DATABASE}")) for study in studies
            )
        ]

    def _file_of(self, name: str) -> Any:
        size, sha256 = self._members[name]
        is_source = not name.startswith(FOLDER) and name.endswith((".py", ".sh"))
        kinds = ["File"]
        if is_source:
            kinds.append("SoftwareSourceCode")
        if name == self._orchestrator:
            kinds.append("ComputationalWorkflow")
        properties = {
            "@type": kinds if len(kinds) > 1 else "File",
            "name": name,
            "description": self._what(name),
            "contentSize": str(size),
            "sha256": sha256,
            "encodingFormat": _media(name),
            "programmingLanguage": self._python if name.endswith(".py") else None,
            "version": self._facts.commit if name == self._orchestrator else None,
        }
        return self._crate.add(
            self._file(self._crate, None, dest_path=name, properties=_given(properties))
        )

    def _what(self, name: str) -> str:
        """What a file is, in a few words."""
        study, _, inner = name.partition("/")
        if name == self._config.path.name:
            return "The workflow: its studies, and how their runs are executed"
        if name == self._orchestrator:
            return "The orchestrator: which runs are created, and when"
        if study in self._config.studies and inner in _OF_STUDY:
            return f"{_OF_STUDY[inner]} {study}"
        return _MADE.get(name, "A file of the workflow")

    def _describe(
        self, study: str, quantities: Sequence[Quantity], files: Mapping[str, Any]
    ) -> None:
        """Describe a study's parameters and results, at its script and its tables."""
        parameters = [(one, self._parameter(study, one)) for one in quantities]
        inputs = [entity for one, entity in parameters if one.kind != "result"]
        outputs = [entity for one, entity in parameters if one.kind == "result"]
        for name in (f"{study}/doIt.py", f"{study}/launch.sh"):
            if (script := files.get(name)) is not None:
                script["input"], script["output"] = _plain(inputs), _plain(outputs)
        measured = [
            self._add(
                f"#{study}/column/{quote(one.name)}",
                type="PropertyValue",
                name=one.name,
                description=_described(one),
                additionalType=_type(one),
                exampleOfWork=entity,
            )
            for one, entity in parameters
        ]
        for suffix in ("csv", "parquet"):
            if (table := files.get(f"{FOLDER}/tables/{study}.{suffix}")) is not None:
                table["description"] = f"Parameters and results of all runs of {study}"
                table["variableMeasured"] = _plain(measured)

    def _parameter(self, study: str, quantity: Quantity) -> Any:
        return self._add(
            f"#{study}/{quantity.kind}/{quote(quantity.name)}",
            type="FormalParameter",
            name=quantity.name,
            description=f"{study}: {_described(quantity)}",
            additionalType=_type(quantity),
            valueRequired=True if quantity.kind == "job" else None,
        )

    def _computed(self, files: Mapping[str, Any], authors: Sequence[Any]) -> None:
        action = self._add(
            "#computed",
            type="CreateAction",
            name="The runs of the workflow",
            instrument=files[self._orchestrator],
            result=_plain([entity for name, entity in files.items() if "/tables/" in name]),
            agent=_plain(list(authors)) if authors else None,
            endTime=self._facts.published,
        )
        self._crate.root_dataset["mentions"] = action

    def _directories(self) -> None:
        """Describe databases and run directories, each as a whole."""
        sizes: dict[str, tuple[int, int]] = {}
        for name, member in self._members.items():
            parts = PurePosixPath(name).parts
            if len(parts) > 2 and parts[0] in self._config.studies:
                place = f"{parts[0]}/{parts[1]}/"
                if f"/{parts[1]}/".startswith((_RUNS, _DATABASE)):
                    count, size = sizes.get(place, (0, 0))
                    sizes[place] = count + 1, size + member.size
        for place, (count, size) in sizes.items():
            study, folder, _ = place.split("/")
            what = (
                f"The database of study {study}: jobs, runs and their history (ZODB)"
                if folder == ".bd"
                else f"Files of the runs of study {study}: {', '.join(self._facts.outputs)}"
            )
            self._crate.add_dataset(
                source=None,
                dest_path=place,
                properties={
                    "name": place,
                    "description": f"{what}; {counted(count, 'file')}",
                    "contentSize": str(size),
                },
            )


def _plain(entities: list[Any]) -> Any:
    """Entities as the specification wants them: one is no list."""
    return entities[0] if len(entities) == 1 else entities


def _given(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}


def _media(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return _MEDIA.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"


def _type(quantity: Quantity) -> str:
    return "Text" if quantity.type is None else _TYPES.get(quantity.type, "Text")


def _described(quantity: Quantity) -> str:
    what = {"job": "parameter of jobs", "run": "parameter of runs"}.get(quantity.kind, "result")
    return what if quantity.type is None else f"{what}, {quantity.type.__name__}"
