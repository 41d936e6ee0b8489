"""A batch system that does not exist: all that Motoko needs of one is here."""

from motoko.batch.batch_system import (
    ArrayLimits,
    Job,
    JobOptions,
    Phase,
    ShellVariables,
    WrongOption,
)
from motoko.errors import ConfigError


class FictitiousScheduler:
    """Keeps its queue in memory; asks through commands that are only counted."""

    def __init__(self, commands):
        self.commands = commands
        self.queue = {}
        self.submissions = []

    async def submit(self, submission):
        self.commands.counts["fsub"] += 1
        self.submissions.append(submission)
        job = str(len(self.submissions))
        self.queue[job] = Job(job, submission.name, "QUEUED", Phase.PENDING)
        return job

    async def array_limits(self):
        return ArrayLimits(span=10, elements=8)

    async def query(self):
        self.commands.counts["fstat"] += 1
        return list(self.queue.values())

    async def memory_of(self, ids):
        return {}

    async def look_up(self, ids):
        return {}

    async def cancel(self, ids, *, names=(), pending=False):
        self.queue = {
            number: job
            for number, job in self.queue.items()
            if number not in ids and job.name not in names
        }


class Fictitious:
    """A batch system whose options are words, and whose nodes reach nobody."""

    name = "fictitious"
    title = "Fictitious"
    submit_command = "fsub"
    query_command = "fstat"
    shell_variables = ShellVariables("$F_JOB", "$F_AGAIN", "$F_NODES", element="$F_ELEMENT")

    def __init__(self):
        self.schedulers = []
        self.is_broken = False
        self.node = ""  # of one that is another host

    def read_options(self, items):
        words = [word for item in items for word in item.split()]
        if "forbidden" in words:
            raise WrongOption("forbidden cannot be used")
        return dict.fromkeys(words)

    def merge_options(self, earlier, later):
        return {**earlier, **later}

    def job_options(self, script, chosen, tasks):
        lines = [line[3:] for line in script.splitlines() if line.startswith("#F ")]
        words = [*self.read_options(lines), *chosen, f"x{tasks}"]
        return JobOptions(words, is_alone="single" in words)

    def check(self, file):
        if self.is_broken:
            raise ConfigError(f"{file}: no jobs can be submitted", hint="there are none")

    def refusal(self, options):
        return "never" if "refused" in options.arguments else None

    def other_host(self):
        return self.node

    def last_words(self, directory, job):
        return f"goodbye from {job}"

    def scheduler(self, commands):
        self.schedulers.append(FictitiousScheduler(commands))
        return self.schedulers[-1]
