"""Makes checks on a node of the cluster, by a batch job of a minute."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from motoko.batch import registry
from motoko.batch.batch_system import BatchSystem, Options, Scheduler, Submission, WrongOption
from motoko.batch.commands import Commands
from motoko.config import StudyConfig
from motoko.errors import ConfigError, MotokoError, NodeFailed
from motoko.health.check_findings import Finding, failure, ok
from motoko.health.installation import versions
from motoko.health.looked_at import Place

WAIT_S = 600.0  # a queue may be long
_LOOK_S = 1.0
_NODES = "nodes"
_A_MINUTE = ("time=1",)
# The answer is moved into its place, so that it is never read in part.
_SCRIPT = """\
#!/bin/sh
"$1" -P -m motoko.health.node_probe "$2" > "$3.part" 2> "$3.errors" && mv "$3.part" "$3"
"""


class NodeAnswer(msgspec.Struct, frozen=True):
    """What is seen on a node.

    Attributes:
        host: the node's own name for itself.
        versions: the versions of the packages there.
        findings: the findings of the checks that were made there.
    """

    host: str
    versions: dict[str, str | None]
    findings: list[Finding]


def on_a_node(place: Place) -> Iterator[Finding]:
    """Nodes: what the checks find there, whether versions agree, and whether the head is reached.

    It submits a job with the options of the first study that is handed to a batch system, and waits
    for it, ten minutes at most.
    """
    study = _handed_over(place)
    system = registry.named(registry.generator(study.generator))
    with tempfile.TemporaryDirectory(dir=place.directory, prefix=".motoko-doctor-") as made:
        directory = Path(made)
        script, answer = directory / "probe.sh", directory / "answer.json"
        script.write_text(_SCRIPT)
        script.chmod(0o700)
        options = system.job_options(
            study.launch_script.read_text(errors="replace"),
            _briefly(system, study.policy.options_for(system.name)),
            study.policy.nproc,
        )
        submission = Submission(
            f"motoko-doctor-{uuid.uuid4().hex[:12]}",
            directory,
            script,
            [sys.executable, str(place.directory), str(answer)],
            options.arguments,
        )
        asyncio.run(_submitted(system, submission, answer))
        yield from judged(_read(answer), versions())


def judged(answer: NodeAnswer, here: dict[str, str | None]) -> Iterator[Finding]:
    """What a node's answer means. Pure.

    Args:
        answer: the node's answer.
        here: the versions on this host.
    """
    differing = [
        f"{name} {answer.versions.get(name)} there and {version} here"
        for name, version in here.items()
        if answer.versions.get(name) != version
    ]
    if differing:
        text = f"{answer.host}: {', '.join(differing)}"
        yield failure(_NODES, text, "have nodes use this Python environment, on a shared disk")
    else:
        yield ok(_NODES, f"{answer.host}: the same versions as here")
    for finding in answer.findings:
        text = f"{answer.host}: {finding.text}"
        yield Finding(f"{_NODES}: {finding.check}", finding.level, text, finding.remedy)


def _handed_over(place: Place) -> StudyConfig:
    for study in place.config.studies.values() if place.config else ():
        if registry.generator(study.generator) in registry.systems():
            return study
    raise ConfigError(
        "no study is handed to a batch system",
        hint="--nodes is for workflows with `generator: slurm`",
    )


def _briefly(system: BatchSystem, options: Options) -> Options:
    """Options of a study, for a job of a minute, which waits less in the queue than a long one."""
    try:
        return system.merge_options(options, system.read_options(_A_MINUTE))
    except WrongOption:  # another system has another option: the study's own time will do
        return options


async def _submitted(system: BatchSystem, submission: Submission, answer: Path) -> None:
    """Submit the job and wait for its answer; the job is ended in any case."""
    scheduler: Scheduler = system.scheduler(Commands())
    job = await scheduler.submit(submission)
    deadline = time.monotonic() + WAIT_S
    try:
        while not _is_there(answer):
            errors = answer.with_name(f"{answer.name}.errors")
            if errors.exists() and (text := errors.read_text(errors="replace").strip()):
                raise NodeFailed(
                    f"job {job}: {text.splitlines()[-1]}",
                    hint="Motoko cannot be started on that node as it is here",
                )
            if time.monotonic() > deadline:
                raise NodeFailed(
                    f"job {job} has given no answer in {WAIT_S:.0f} s",
                    hint="call it again when the queue is shorter",
                )
            await asyncio.sleep(_LOOK_S)
    finally:
        with contextlib.suppress(MotokoError):
            await scheduler.cancel([job])


def _is_there(answer: Path) -> bool:
    # Listing the directory makes NFS look anew.
    return answer.name in {path.name for path in answer.parent.iterdir()}


def _read(answer: Path) -> NodeAnswer:
    try:
        return msgspec.json.decode(answer.read_bytes(), type=NodeAnswer)
    except msgspec.DecodeError as error:
        raise NodeFailed(f"the node's answer cannot be read: {error}") from error
