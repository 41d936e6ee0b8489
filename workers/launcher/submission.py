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
    # A pack has a name of its own: those of its runs need not be alike. It has one template.
    template = [policy.is_warm, *policy.preload]
    return Built(alone, [pack, *template, *shared[:-1], *alone.options], pack)


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


def of_packs(leaders: Mapping[int, Built], name: str) -> Submission:
    """The job of a pack, or the array of several packs: one element each.

    Args:
        leaders: the first run of each pack, by number; they are alike.
        name: the name of the first pack.
    """
    first = min(leaders)
    alone, pack = leaders[first].alone, leaders[first].pack
    arguments = job_script.arguments_of_array(alone.arguments, first)
    parts = job_names.parts(name)
    assert arguments is not None and parts is not None and pack is not None, "they are alike"
    *before, _, own, _ = arguments
    return replace(
        alone,
        name=name,
        directory=packs.folder(alone.directory.parent),
        arguments=[*before, parts[0], own, parts[2], str(pack.at_once)],
        elements=[number - first for number in sorted(leaders)] if len(leaders) > 1 else (),
    )
