"""A launcher's templates: Pythons that have loaded the modules of warm runs, and fork the runs."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from motoko.host.process_limits import restore_for
from motoko.runs.warm_start import WarmStart, imports_of, is_read_at_start
from motoko.workers.launcher.preparing import Prepared
from motoko.workers.launcher.spawner import Forker, Unusable, facts
from motoko.workers.launcher.warm_modules import stamp
from motoko.workers.launcher.wrapper import MESSAGE_MAX
from motoko.workers.launcher.wrapper_process import WrapperProcess

log = logging.getLogger(__name__)

PROGRAM = Path(__file__).parent / "warm_template.py"
TEMPLATES_MAX = 4
CHECK_S = 0.25  # how often to look whether files of installed modules have changed
_TEXT_MAX = 150_000  # characters; the size of a message is limited


class WarmPythons:
    """Starts warm runs. If no template is ready, the caller has to start them cold."""

    def __init__(self) -> None:
        self._templates: list[_Template] = []
        self._gone: list[_Template] = []
        self._varying: set[str] = set()  # variables that differ from run to run
        self._said: set[str] = set()

    def start(
        self, prepared: Prepared, warm: WarmStart, stdout: str, stderr: str, slots: Sequence[int]
    ) -> WrapperProcess | None:
        """Start a prepared run's wrapper, as ``Spawner.start`` does; ``None``: start it cold.

        Raises ``OSError`` if no process can be started now.
        """
        self._gone = [template for template in self._gone if not template.has_ended]
        interpreter = warm.interpreter
        text = json.dumps(
            {
                "environment": dict(warm.environment),
                "python": warm.python,
                "options": warm.options,
                "script": warm.script,
                "arguments": warm.arguments,
            }
        )
        if interpreter is None or len(text) > _TEXT_MAX:
            return None
        preload, imports = imports_of(prepared.directory, prepared.policy.preload)
        modules = json.dumps({"preload": preload, "imports": imports})
        template = self._template(interpreter, modules, warm)
        if template.problem:
            self._say(f"runs start cold, without a template: {template.problem}")
        if not template.is_ready:
            return None
        known = facts(prepared.directory, prepared.attempt, stdout, stderr) | {"warm": text}
        try:
            template.check()
            return template.start(known, slots)
        except Unusable as error:
            log.info("the template of warm runs is replaced: %s", error)
            self._drop(template)
            return None

    def dismiss(self) -> None:
        """End the wrappers that wait."""
        for template in self._templates:
            template.dismiss()

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)

    def _template(self, interpreter: str, modules: str, warm: WarmStart) -> _Template:
        shared = warm.shared
        for template in self._templates:
            if template.key == (interpreter, modules):
                differing = {
                    name
                    for name in shared.keys() | template.environment.keys()
                    if shared.get(name) != template.environment.get(name)
                } - self._varying
                if not any(map(is_read_at_start, differing)):
                    self._varying |= differing
                    if template.has_gone:
                        self._drop(template)
                        break
                    return template
        while len(self._templates) >= TEMPLATES_MAX:
            self._drop(self._templates[0])
        made = _Template(interpreter, modules, shared)
        self._templates.append(made)
        return made

    def _drop(self, template: _Template) -> None:
        self._templates.remove(template)
        template.close()
        self._gone.append(template)


_Stamps = dict[str, tuple[int, ...]]


class _Template(Forker):
    """One template.

    Attributes:
        is_ready: whether it has loaded all modules, and can fork.
        problem: why it cannot; empty if it can, or if that is not known yet.
        has_gone: whether it was ready, and has ended since then.
    """

    def __init__(self, interpreter: str, modules: str, environment: Mapping[str, str]) -> None:
        self.key = (interpreter, modules)
        self.environment = environment
        self.is_ready = self.has_gone = False
        self.problem = ""
        self._own: _Stamps = {}  # the files of modules that may change at any time
        self._installed: _Stamps = {}  # of all other modules
        self._checked_at = 0.0
        super().__init__([interpreter, str(PROGRAM)], [modules], environment)
        restore_for(self.pid)
        self.socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self.socket, self._heard)

    def _heard(self) -> None:
        """Read the template's message that it has loaded all modules, or notice its end."""
        descriptors: list[int] = []
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, MESSAGE_MAX, 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.problem = json.loads(data)["problem"]
            with open(descriptors[0]) as file:
                self._own, self._installed = (
                    {path: tuple(stamp) for path, stamp in files.items()}
                    for files in json.load(file)
                )
            self._checked_at = time.monotonic()
            self.is_ready = not self.problem
            if self.problem:
                self.close()
            return
        self.has_gone, self.is_ready = self.is_ready, False
        if not self.has_gone:
            self.problem = self.problem or f"{self.key[0]} has ended while it loaded modules"
        self.close()

    def check(self) -> None:
        """Raise ``Unusable`` if files of the modules that it has loaded have changed."""
        looked_at = [self._own]
        if time.monotonic() > self._checked_at + CHECK_S:
            self._checked_at = time.monotonic()
            looked_at.append(self._installed)
        for files in looked_at:
            for path, before in files.items():
                if stamp(path) != before:
                    raise Unusable(f"{path} has changed")

    def close(self) -> None:
        """Close its socket, which ends it, and end the wrappers that wait."""
        self.is_ready = False
        if self.socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.socket)
            super().close()
