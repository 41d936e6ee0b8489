"""Detached orchestrators in the process table: which there are, and when one is started again."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from motoko import detached
from motoko.config import WorkflowConfig
from motoko.runtime import Runtime, living_orchestrators
from motoko.supervisor import daemons
from motoko.supervisor.child import Child
from motoko.supervisor.daemons import Spec

log = logging.getLogger(__name__)

REGISTRATION_POLL_S = 0.05


class Refused(Exception):
    """A request cannot be granted; ``answer`` says why."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer)
        self.answer = answer


def run_name(spec: Spec) -> str:
    """Whose orchestrator it is."""
    return spec.name.partition(":")[2]


class Detached:
    """The detached orchestrators of a workflow, as their files say."""

    def __init__(self, config: WorkflowConfig, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime

    def specs(self, living: set[str]) -> list[Spec]:
        """Those that live, and those to be started again since nobody has stopped them."""
        found = []
        for request in detached.requests(self._runtime):
            spec = daemons.orchestrator(self._config, request)
            end = detached.end_of(self._runtime, request.run_name)
            code = end.exit_code if end else None
            again = request.wanted and detached.goes_on(request.restart, code)
            if spec.name in living or again:
                found.append(spec)
        return found

    def wanted(self, file: Path) -> Spec:
        """What a request asks for; raises ``Refused`` while its run_name has an orchestrator."""
        request = detached.read(file)
        if request is None or file.parent != detached.directory(self._runtime):
            raise Refused({"error": f"{file} is no request"})
        for name, identity in living_orchestrators(self._runtime):
            if name == request.run_name:
                raise Refused({"held_by": identity.to_dict()})
        return daemons.orchestrator(self._config, request)

    def accept(self, file: Path, spec: Spec) -> None:
        """Keep a request, until it is stopped."""
        file.replace(detached.request_path(self._runtime, run_name(spec)))

    def before_start(self, spec: Spec) -> None:
        """One is about to be started: how an earlier one has ended is of no interest any more."""
        detached.end_path(self._runtime, run_name(spec)).unlink(missing_ok=True)
        detached.wanted_again(self._runtime, run_name(spec))

    def stopped(self, spec: Spec) -> None:
        """One is stopped on purpose."""
        try:
            detached.not_wanted(self._runtime, lambda name: name == run_name(spec))
        except OSError as error:  # a full disk is no reason to go on with it
            log.error("%s: the next supervisor will start it again: %s", spec.name, error)

    def has_ended(self, spec: Spec, child: Child, how: str) -> tuple[str, bool]:
        """How one has died, and whether that is its end."""
        end = detached.end_of(self._runtime, run_name(spec))
        if end is not None and not end.is_of(child.identity):
            end = None
        code = child.exit_code if end is None else end.exit_code
        if end is not None:
            how = f"exited with {code}" + (f": {end.error.splitlines()[0]}" if end.error else "")
        request = detached.read(detached.request_path(self._runtime, run_name(spec)))
        return how, not (request and detached.goes_on(request.restart, code))

    async def registration(self, child: Child) -> None:
        """Return when one has registered as the orchestrator of its run_name."""
        while child.identity not in [who for _, who in living_orchestrators(self._runtime)]:
            await asyncio.sleep(REGISTRATION_POLL_S)
