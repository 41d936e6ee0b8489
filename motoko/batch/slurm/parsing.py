"""Reading the output of Slurm's commands. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from motoko.batch.batch_system import ArrayLimits, Job, Phase
from motoko.batch.job_names import of_element

QUERY_FORMAT = "%i|%T|%r|%N|%j"
MEMORY_FIELDS = "JobID,MaxRSS"
_MEMORY = re.compile(r"([0-9.]+)([KMGT]?)")
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
ACCOUNTING_FIELDS = "JobID,State,NodeList,JobName"

_PENDING = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
    | {"RESV_DEL_HOLD"}
)
# What has been done to the job, by state.
_ENDED = {
    "COMPLETED": "",
    "FAILED": "",
    "CANCELLED": "it was cancelled in Slurm (CANCELLED)",
    "TIMEOUT": "Slurm's time limit was reached (TIMEOUT)",
    "NODE_FAIL": "its node failed (NODE_FAIL)",
    "OUT_OF_MEMORY": "it used more memory than it may (OUT_OF_MEMORY)",
    "PREEMPTED": "it was preempted by another job (PREEMPTED)",
    "BOOT_FAIL": "its node did not boot (BOOT_FAIL)",
    "DEADLINE": "it could not end before its deadline (DEADLINE)",
    "REVOKED": "it was moved to another cluster (REVOKED)",
}
_NO_REASON = frozenset({"", "None", "(null)"})
# Reasons that say more than the state of a job that is over.
_LAUNCH_FAILED = frozenset({"JobLaunchFailure", "FailedToLaunch", "launch failed requeued held"})
_HOPELESS = {
    "DependencyNeverSatisfied": "its dependency can never be satisfied (DependencyNeverSatisfied)",
}
# Messages that mean that sbatch does not know whether the job is queued, or must be tried later.
_NO_ANSWER = re.compile(
    "Unable to contact slurm controller|timed out|Zero Bytes|connect failure|Connection refused"
    "|Connection reset|Transport endpoint|Unexpected message|backup controller|standby"
    "|temporarily un|Slurm is busy|Protocol authentication|Unspecified error|Munge|MUNGE"
    "|Communication|Insane message|Resource temporarily"
    # Slurm's configuration, or the controller's name, cannot be read on this host now.
    "|configuration source|Unable to process configuration file|control machine address",
    re.IGNORECASE,
)
# Messages that mean that the queue, or this user's share of it, is full.
_FULL = re.compile(
    r"QOSMaxSubmit|AssocMaxSubmit|AssocGrpSubmit|QOSGrpSubmit|MaxJobCount|Too many jobs"
    r"|Reached limit|job submit limit|at maximum job count",
    re.IGNORECASE,
)
_SETTING = re.compile(r"^(MaxArraySize|MaxJobCount|SchedulerParameters)\s*=\s*(\S*)", re.MULTILINE)
_ENFORCED = re.compile(r"^AccountingStorageEnforce\s*=.*\b(?:limits|safe)\b", re.MULTILINE)
_CLUSTER = re.compile(r"^ClusterName\s*=\s*(\S+)", re.MULTILINE)
_MOST_ELEMENTS = re.compile(r"\bmax_array_tasks=(\d+)")
_ELEMENTS = re.compile(r"(\d+)_\[?([0-9,:-]+)(?:%\d+)?\]?")
# What a node writes about a job into its output; lines with stars only repeat the job's state.
_STEP_ERROR = re.compile(r"^slurmstepd[^:]*: error: (?!\*\*\*)(.+)", re.MULTILINE)
_PREFIX = re.compile(r"^(?:sbatch|scontrol|squeue|sacct|scancel|sinfo): (?:error: )?")


def jobs_of_query(text: str) -> list[Job]:
    """The jobs that ``squeue -h -o QUERY_FORMAT`` prints. Lines that are not jobs are skipped."""
    jobs: list[Job] = []
    for line in text.splitlines():
        fields = line.split("|", 4)
        if len(fields) == 5:
            number, state, reason, nodes, name = fields
            jobs += _each(number, name, state, reason, nodes)
    return jobs


def jobs_of_accounting(text: str) -> list[Job]:
    """The jobs that ``sacct -X -n -P -o ACCOUNTING_FIELDS`` prints."""
    jobs: list[Job] = []
    for line in text.splitlines():
        fields = line.split("|", 3)
        if len(fields) == 4:
            number, state, nodes, name = fields
            jobs += _each(number, name, state.split(" ")[0], "", nodes)
    return jobs


def memory_of_accounting(text: str) -> dict[str, int]:
    """The most memory of each job, in bytes, from what ``sacct -n -P -o MEMORY_FIELDS`` prints.

    Slurm knows it of the steps of a job: ``17.batch``.
    """
    memory: dict[str, int] = {}
    for line in text.splitlines():
        step, _, size = line.partition("|")
        number = step.partition(".")[0]
        if (match := _MEMORY.fullmatch(size.strip())) is not None:
            count = round(float(match[1]) * _FACTORS[match[2]])
            if count:
                memory[number] = max(count, memory.get(number, 0))
    return memory


def jobs_of_controller(text: str) -> list[Job]:
    """The jobs that ``scontrol --oneliner show job`` prints."""
    jobs: list[Job] = []
    for line in text.splitlines():
        # Values may hold spaces, but only after those that are read here.
        names = "JobId|ArrayJobId|ArrayTaskId|JobName|JobState|Reason|NodeList"
        pairs = re.findall(rf"(?:^|\s)({names})=(\S*)", line)
        values = dict(reversed(pairs))
        if "JobId" in values and "JobState" in values:
            name, state = values.get("JobName", ""), values["JobState"]
            number, nodes = values["JobId"], values.get("NodeList", "")
            if "ArrayTaskId" in values:
                number = f"{values.get('ArrayJobId', number)}_{values['ArrayTaskId']}"
            jobs += _each(number, name, state, values.get("Reason", ""), nodes)
    return jobs


def _each(number: str, name: str, state: str, reason: str, nodes: str) -> Iterator[Job]:
    """A job, or the elements of an array that Slurm shows in one line: ``17_[0-3,5]``."""
    listed = _ELEMENTS.fullmatch(number)
    if listed is None:
        yield job(number, name, state, reason, nodes)
        return
    for index in _indices(listed[2]):
        yield job(f"{listed[1]}_{index}", of_element(name, index), state, reason, nodes)


def _indices(text: str) -> Iterator[int]:
    """The indices in ``0-3,5,10-20:2``."""
    for part in filter(None, text.split(",")):
        bounds, _, step = part.partition(":")
        first, _, last = bounds.partition("-")
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def indices(elements: Iterable[int]) -> str:
    """Indices, which must be in order, as sbatch takes them: ``0-3,5``."""
    all_of_them = list(elements)
    begins = [all_of_them[0], *(b for a, b in pairwise(all_of_them) if b != a + 1)]
    ends = [*(a for a, b in pairwise(all_of_them) if b != a + 1), all_of_them[-1]]
    pairs = zip(begins, ends, strict=True)
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in pairs)


def array_limits(text: str) -> ArrayLimits:
    """The limits that ``scontrol show config`` prints; no arrays are taken if it prints none."""
    settings = dict(_SETTING.findall(text))
    most = [int(settings[name]) for name in ("MaxArraySize", "MaxJobCount") if name in settings]
    most += map(int, _MOST_ELEMENTS.findall(settings.get("SchedulerParameters", "")))
    return ArrayLimits(int(settings.get("MaxArraySize", 0)), min(most, default=0))


def enforces_limits(text: str) -> bool:
    """Whether users' limits count, by what ``scontrol show config`` prints."""
    return bool(_ENFORCED.search(text))


def cluster(text: str) -> list[str]:
    """Which cluster accounting is asked about, by what ``scontrol show config`` prints.

    The user may have other limits on other clusters.
    """
    return [f"cluster={name}" for name in _CLUSTER.findall(text)]


def most_submitted(text: str) -> int | None:
    """How many jobs a user may have in the queue; ``None`` if any number.

    ``text`` is what ``sacctmgr`` prints of the field MaxSubmitJobs: a line for each of the user's
    associations, or each QOS, of which the largest counts here, since any of them may be used.
    """
    lines = [line.strip() for line in text.splitlines()]
    return max(map(int, lines)) if lines and all(map(str.isdecimal, lines)) else None


def job(number: str, name: str, state: str, reason: str, nodes: str) -> Job:
    """A job from Slurm's words. A state that is not known here counts as running, not as an end."""
    state = state.strip().rstrip("+")
    reason = "" if reason.strip() in _NO_REASON else reason.strip()
    nodes = "" if nodes in _NO_REASON else nodes
    if state in _PENDING:
        hopeless = _HOPELESS.get(reason, "")
        return Job(number, name, state, Phase.PENDING, reason, nodes, hopeless=hopeless)
    if state not in _ENDED:
        return Job(number, name, state, Phase.RUNNING, reason, nodes)
    problem = _ENDED[state]
    if reason in _LAUNCH_FAILED:
        problem = f"Slurm could not launch it, or killed it ({reason})"
    final = state == "CANCELLED"
    return Job(number, name, state, Phase.ENDED, reason, nodes, problem, final)


def dropped(number: str, others: Iterable[Job]) -> Job | None:
    """A cancelled job, if one is missing while ``others`` has elements of its array.

    Slurm forgets an element at once if it is cancelled before it starts. It never loses a single
    element otherwise.
    """
    array, _, index = number.rpartition("_")
    for other in others:
        if array and other.id.startswith(f"{array}_"):
            name = of_element(other.name, int(index) - int(other.id.rpartition("_")[2]))
            return replace(job(number, name, "CANCELLED", "", ""), if_unstarted=True)
    return None


def submitted(text: str) -> str | None:
    """The job id that ``sbatch --parsable`` prints; ``None`` if there is none."""
    lines = text.strip().splitlines()
    number = lines[-1].partition(";")[0].strip() if lines else ""
    return number if number.isdigit() else None


def is_full(stderr: str) -> bool:
    """Whether sbatch's words mean that there are too many jobs for now."""
    return bool(_FULL.search(stderr))


def is_refusal(stderr: str) -> bool:
    """Whether sbatch's words mean that the job is not queued, and never will be."""
    return bool(stderr.strip()) and not _NO_ANSWER.search(stderr)


def last_words(output: str) -> str:
    """The last error that a node has written into a job's output; empty if there is none."""
    errors: list[str] = _STEP_ERROR.findall(output)
    return errors[-1].strip() if errors else ""


def words(stderr: str) -> str:
    """A command's error messages, in one line."""
    lines = [_PREFIX.sub("", line.strip()) for line in stderr.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines))[:500]
