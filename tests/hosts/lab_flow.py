"""A workflow on the hosts of a lab: supervised on one of them, seen from all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host import HERE, Host, Running
from launching import number_in
from support import Flow, motoko_command, wait_until

from motoko.host.proc_files import fields_of

CREATE = """\
from motoko.store.study_database import create_study; from motoko.config import load
for study in load('.').studies.values(): create_study(study)
"""


@dataclass
class LabFlow(Flow):
    """As ``Flow``, with commands that are executed on ``host``; :meth:`on` chooses another one.

    Its directory is on the file system that all hosts share: run directories can be read here.
    """

    host: Host = None  # type: ignore[assignment]

    def on(self, host: Host) -> LabFlow:
        """The same workflow, by commands on another host."""
        return replace(self, host=host)

    def motoko(
        self, *arguments: str, timeout: float = 90.0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, to its end."""
        return self.host.motoko(*arguments, cwd=self.directory, timeout=timeout, **environment)

    def ps(self) -> dict[str, Any]:
        """``motoko ps --json`` on the host."""
        answer = json.loads(self.motoko("ps", "--json").stdout)
        assert isinstance(answer, dict)
        return answer

    def begin(self, *arguments: str, **options: Any) -> Running:  # type: ignore[override]
        """Start a command on the host and leave it running; its output goes to a pipe."""
        return self.host.popen(*motoko_command(*arguments), cwd=self.directory, **options)

    def create(self) -> None:
        """Make the studies' databases."""
        self.host.python(CREATE, cwd=self.directory)

    def place(self, number: int, study: str = "") -> Path:
        """A run's directory."""
        study = study or self.studies[0]
        return self.directory / study / f"BD-{study}-runs" / f"run-{number}"

    def inner_pid(self, number: int, file: str) -> int:
        """A pid that a run has written into a file, as it is called on the run's node."""
        return number_in(self.place(number) / file)


class LabSession:
    """Creates runs of a workflow, and reads them, by a process on its host.

    The process is started when it is needed, also again after its host was rebooted.
    """

    def __init__(self, flow: LabFlow) -> None:
        self.flow = flow
        self._server: Running | None = None

    def create(
        self,
        script: str,
        code: str | None = None,
        *,
        study: str = "",
        count: int = 1,
        run_name: str = "r",
        **params: Any,
    ) -> list[int]:
        """Runs that execute a script (see ``launching.scripted``), each with a number behind it.

        Returns their ids; ``params`` are their run parameters.
        """
        fields = dict(script=script, code=code, count=count, run_name=run_name, params=params)
        found = self._ask("create", study=study or self.flow.studies[0], **fields)
        return [int(number) for number in found]

    def entries(self, study: str = "") -> dict[int, dict[str, Any]]:
        """The entries of all runs of a study, by id."""
        found = self._ask("entries", study=study or self.flow.studies[0])
        return {int(entries["id"]): entries for entries in found}

    def until(
        self, numbers: Sequence[int], *, study: str = "", timeout: float = 60.0, **expected: Any
    ) -> dict[int, dict[str, Any]]:
        """Wait until runs have certain entries; the entries of all runs by id.

        A value that is a function says itself whether it is right.
        """

        def fits(value: object, wanted: object) -> bool:
            return bool(wanted(value)) if callable(wanted) else value == wanted

        def seen() -> dict[int, dict[str, Any]]:
            found = self.entries(study)
            for number in numbers:
                run = found[number]
                for name, wanted in expected.items():
                    assert fits(run.get(name), wanted), (number, name, run)
            return found

        return wait_until(seen, f"runs {numbers} have {expected}", timeout)

    def finished(
        self, numbers: Sequence[int], *, study: str = "", timeout: float = 90.0
    ) -> dict[int, dict[str, Any]]:
        """Wait until runs have ended; they have to be FINISHED."""

        def ended(state: object) -> bool:
            return state in ("FINISHED", "FAILED")

        found = self.until(numbers, study=study, timeout=timeout, ended_state=ended)
        failed = {n: found[n] for n in numbers if found[n]["ended_state"] != "FINISHED"}
        assert not failed, failed
        return found

    def close(self) -> None:
        """End the process."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def _ask(self, what: str, **fields: Any) -> list[Any]:
        if self._server is None or self._server.returncode is not None:
            command = [sys.executable, "-P", str(HERE / "session_server.py")]
            self._server = self.flow.host.popen(
                *command, cwd=self.flow.directory, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        assert self._server.stdin is not None and self._server.stdout is not None
        try:
            self._server.stdin.write(json.dumps({"do": what, **fields}) + "\n")
            self._server.stdin.flush()
            line = self._server.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._server.kill()
            self._server = None
            raise OSError(f"the session on {self.flow.host.name} has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise OSError(answer["error"])
        found: list[Any] = answer["found"]
        return found


def wait_for(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    """As ``wait_until``, for conditions that run commands."""
    wait_until(condition, what, timeout)


def relays_of(node: Host, *, are_keepers: bool = False) -> list[Any]:
    """The relays of a node that serve, or what keeps their sockets: their parents."""
    processes = {
        process.identity.pid: process
        for process in node.processes("channel/relay")
        if " -I " in process.command
    }
    parents = {parent_of(pid) for pid in processes}
    return [process for pid, process in processes.items() if (pid in parents) == are_keepers]


def parent_of(pid: int | None) -> int | None:
    """The parent of a process, if it lives."""
    fields = None if pid is None else fields_of(pid)
    return None if fields is None else int(fields[1])
