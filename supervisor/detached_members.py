"""Detached orchestrators in the process table: which there are, and when one is started again."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import subject_of
from motoko.control import detached_requests
from motoko.control.daemon_records import living_orchestrators
from motoko.control.protocol import Holder, RequestRefused
from motoko.layout import Runtime
from motoko.supervisor import daemon_specs
from motoko.supervisor.child import Child
from motoko.supervisor.daemon_specs import Spec

log = logging.getLogger(__name__)

REGISTRATION_POLL_S = 0.05


def run_name(spec: Spec) -> str:
    """Whose orchestrator it is."""
    return subject_of(spec.name)


class Detached:
    """The detached orchestrators of a workflow, as their files say."""

    def __init__(self, config: WorkflowConfig, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self.is_lost = False  # their files, with the workflow's directory

    def specs(self, living: set[str]) -> list[Spec]:
        """Those that live, and those to be started again since nobody has stopped them."""
        specs = []
        for request in detached_requests.requests(self._runtime):
            spec = daemon_specs.orchestrator(self._config, request)
            end = detached_requests.end_of(self._runtime, request.run_name)
            code = end.exit_code if end else None
            again = request.wanted and detached_requests.goes_on(request.restart, code)
            if spec.name in living or again:
                specs.append(spec)
        return specs

    def wanted(self, file: Path) -> Spec:
        """What a request in a file asks for; raises ``RequestRefused`` if there is none."""
        request = detached_requests.read(file)
        if request is None or file.parent != detached_requests.directory(self._runtime):
            raise RequestRefused(f"{file} is no request")
        return daemon_specs.orchestrator(self._config, request)

    def holder(self, spec: Spec) -> Holder | None:
        """The orchestrator that its run_name has already, if it has one."""
        for name, identity in living_orchestrators(self._runtime):
            if name == run_name(spec):
                return Holder(identity.host, identity.pid)
        return None

    def accept(self, file: Path, spec: Spec) -> None:
        """Keep a request, until it is stopped."""
        file.replace(detached_requests.request_path(self._runtime, run_name(spec)))

    def before_start(self, spec: Spec) -> None:
        """One is about to be started: how an earlier one has ended is of no interest any more."""
        detached_requests.end_path(self._runtime, run_name(spec)).unlink(missing_ok=True)
        detached_requests.wanted_again(self._runtime, run_name(spec))

    def stopped(self, spec: Spec) -> None:
        """One is stopped on purpose."""
        if self.is_lost:
            return
        try:
            detached_requests.not_wanted(self._runtime, lambda name: name == run_name(spec))
        except OSError as error:  # a full disk is no reason to go on with it
            log.error("%s: the next supervisor will start it again: %s", spec.name, error)

    def has_ended(self, spec: Spec, child: Child, how: str) -> tuple[str, bool]:
        """How one has died, and whether that is its end."""
        end = detached_requests.end_of(self._runtime, run_name(spec))
        if end is not None and not end.is_of(child.identity):
            end = None
        code = child.exit_code if end is None else end.exit_code
        if end is not None:
            how = f"exited with {code}" + (f": {end.error.splitlines()[0]}" if end.error else "")
        request = detached_requests.read(
            detached_requests.request_path(self._runtime, run_name(spec))
        )
        return how, not (request and detached_requests.goes_on(request.restart, code))

    async def registration(self, child: Child) -> None:
        """Return when one has registered as the orchestrator of its run_name."""
        while child.identity not in [who for _, who in living_orchestrators(self._runtime)]:
            await asyncio.sleep(REGISTRATION_POLL_S)
