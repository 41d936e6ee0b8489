"""What Slurm's commands print, read. Pure."""

from __future__ import annotations

import re

from motoko.batch.batch_system import Job, Phase

QUERY_FORMAT = "%i|%T|%r|%N|%j"
ACCOUNTING_FIELDS = "JobID,State,NodeList,JobName"

_PENDING = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
    | {"RESV_DEL_HOLD"}
)
# By state: what has been done to the job.
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
# Reasons of jobs that are over, which say more than their state.
_LAUNCH_FAILED = frozenset({"JobLaunchFailure", "FailedToLaunch", "launch failed requeued held"})
_HOPELESS = {
    "DependencyNeverSatisfied": "its dependency can never be satisfied (DependencyNeverSatisfied)",
}
# sbatch could not say whether the job is queued, or the controller asks to come back later.
_NO_ANSWER = re.compile(
    "Unable to contact slurm controller|timed out|Zero Bytes|connect failure|Connection refused"
    "|Connection reset|Transport endpoint|Unexpected message|backup controller|standby"
    "|temporarily un|Slurm is busy|Protocol authentication|Unspecified error|Munge|MUNGE"
    "|Communication|Insane message|Resource temporarily",
    re.IGNORECASE,
)
# The queue, or this user's share of it, is full.
_FULL = re.compile(
    r"QOSMaxSubmit|AssocMaxSubmit|AssocGrpSubmit|QOSGrpSubmit|MaxJobCount|Too many jobs"
    r"|Reached limit|job submit limit|at maximum job count",
    re.IGNORECASE,
)
# What a node says of a job into its output; the lines with stars only repeat the job's state.
_STEP_ERROR = re.compile(r"^slurmstepd[^:]*: error: (?!\*\*\*)(.+)", re.MULTILINE)
_PREFIX = re.compile(r"^(?:sbatch|scontrol|squeue|sacct|scancel|sinfo): (?:error: )?")


def jobs_of_query(text: str) -> list[Job]:
    """The jobs that ``squeue -h -o QUERY_FORMAT`` prints. Lines that are none are left out."""
    jobs = []
    for line in text.splitlines():
        fields = line.split("|", 4)
        if len(fields) == 5:
            number, state, reason, nodes, name = fields
            jobs.append(job(number, name, state, reason, nodes))
    return jobs


def jobs_of_accounting(text: str) -> list[Job]:
    """The jobs that ``sacct -X -n -P -o ACCOUNTING_FIELDS`` prints."""
    jobs = []
    for line in text.splitlines():
        fields = line.split("|", 3)
        if len(fields) == 4:
            number, state, nodes, name = fields
            jobs.append(job(number, name, state.split(" ")[0], "", nodes))
    return jobs


def jobs_of_controller(text: str) -> list[Job]:
    """The jobs that ``scontrol --oneliner show job`` prints."""
    jobs = []
    for line in text.splitlines():
        # Values may hold spaces; those that are read here stand before the first that can.
        pairs = re.findall(r"(?:^|\s)(JobId|JobName|JobState|Reason|NodeList)=(\S*)", line)
        values = dict(reversed(pairs))
        if "JobId" in values and "JobState" in values:
            name, state = values.get("JobName", ""), values["JobState"]
            nodes = values.get("NodeList", "")
            jobs.append(job(values["JobId"], name, state, values.get("Reason", ""), nodes))
    return jobs


def job(number: str, name: str, state: str, reason: str, nodes: str) -> Job:
    """A job from Slurm's words. A state that is not known here is not taken for an end."""
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


def submitted(text: str) -> str | None:
    """The job id that ``sbatch --parsable`` prints; ``None`` if there is none."""
    lines = text.strip().splitlines()
    number = lines[-1].partition(";")[0].strip() if lines else ""
    return number if number.isdigit() else None


def is_full(stderr: str) -> bool:
    """Whether sbatch's words mean that there are too many jobs now: later there may be fewer."""
    return bool(_FULL.search(stderr))


def is_refusal(stderr: str) -> bool:
    """Whether sbatch's words mean that the job is not queued, and never will be."""
    return bool(stderr.strip()) and not _NO_ANSWER.search(stderr)


def last_words(output: str) -> str:
    """What a node has said last into a job's output; empty if nothing."""
    errors: list[str] = _STEP_ERROR.findall(output)
    return errors[-1].strip() if errors else ""


def words(stderr: str) -> str:
    """What a command has said, in one line."""
    lines = [_PREFIX.sub("", line.strip()) for line in stderr.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines))[:500]
