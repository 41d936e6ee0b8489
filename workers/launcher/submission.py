"""What is submitted for a run, alone, as an element of an array, or in a pack. Pure logic but for
reading launch.sh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from motoko.batch import job_names
from motoko.batch.batch_system import BatchSystem, Submission
from motoko.config.policy import Pack, Policy
from motoko.config.run_files import LAUNCH
from motoko.runs import job_script, packs
from motoko.runs.launch_script import users_part
from motoko.runs.outputs import stderr_name, stdout_name


@dataclass(frozen=True)
class Built:
    """What is submitted for a run.

    Attributes:
        alone: the submission if the run is a job of its own.
        likeness: equal for runs that may be elements of one array, or in one pack; ``None`` if it
            may be in none.
        pack: the largest pack that it may be in; ``None``: it may be in none.
    """

    alone: Submission
    likeness: Sequence[object] | None
    pack: Pack | None = None


def build(
    system: BatchSystem,
    *,
    name: str,
    run_id: int,
    attempt: int,
    directory: Path,
    stem: str,
    policy: Policy,
    script: Path,
    spool: Path,
) -> Built:
    """The submission of a run whose directory is written.

    Raises ``WrongOption`` for wrong options in launch.sh, and ``OSError`` if the directory is not
    there.
    """
    script_text = users_part((directory / LAUNCH).read_text(errors="replace"))
    chosen = system.job_options(script_text, policy.options_for(system.name), policy.nproc)
    # Output files that the user's options name are used; the others get their usual names.
    outputs = (
        "" if chosen.has_output else stdout_name(stem, run_id),
        "" if chosen.has_error else stderr_name(stem, run_id),
    )
    alone = Submission(
        name=name,
        directory=directory,
        script=script,
        arguments=job_script.arguments(directory, attempt, outputs, spool, run_id, name),
        options=chosen.arguments,
    )
    shared = None if chosen.is_alone else job_script.arguments_of_array(alone.arguments, 0)
    if shared is None:
        return Built(alone, None)
    pack = policy.pack
    if pack is None or pack.runs == 1:
        return Built(alone, [*shared, *alone.options])
    # A pack has a name of its own: those of its runs, and their attempts, need not be alike. It has
    # one template.
    template = [policy.is_warm, *policy.preload]
    place, _, *others, _ = shared
    return Built(alone, [pack, *template, place, *others, *alone.options], pack)


def array(runs: Mapping[int, Built]) -> Submission:
    """The array of runs that are alike, by number. It starts in the parent of their directories."""
    first = min(runs)
    alone = runs[first].alone
    arguments = job_script.arguments_of_array(alone.arguments, first)
    assert arguments is not None, "they are alike"
    return replace(
        alone,
        directory=alone.directory.parent,
        arguments=arguments,
        elements=[number - first for number in sorted(runs)],
    )


def of_packs(first: Built, name: str, count: int) -> Submission:
    """The job of a pack, or the array of so many packs.

    Args:
        first: a run of the first pack; those of the others are alike.
        name: the name of the first pack; the others' are those of elements (``job_names``).
    """
    parts = job_names.parts(name)
    assert parts is not None and first.pack is not None, "a pack has a name that Motoko has made"
    arguments = job_script.arguments_of_array(first.alone.arguments, parts[1])
    assert arguments is not None, "it may be in a pack"
    *before, _, own, _ = arguments
    return replace(
        first.alone,
        name=name,
        directory=packs.folder(first.alone.directory.parent),
        arguments=[*before, parts[0], own, parts[2], str(first.pack.at_once)],
        elements=range(count) if count > 1 else (),
    )
