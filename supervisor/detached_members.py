"""The detached orchestrators of a workflow, and which of them are started again."""

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
    """The run_name whose orchestrator it is."""
    return subject_of(spec.name)


class Detached:
    """The detached orchestrators of a workflow, read from their files in ``.wf/detached``."""

    def __init__(self, config: WorkflowConfig, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self.is_lost = False  # whether their files are lost, with the workflow's directory

    def specs(self, living: set[str]) -> list[Spec]:
        """The orchestrators that live, and those to be started again: no user stopped them."""
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
        """The orchestrator that a request file asks for; ``RequestRefused`` if it is no request."""
        request = detached_requests.read(file)
        if request is None or file.parent != detached_requests.directory(self._runtime):
            raise RequestRefused(f"{file} is no request")
        return daemon_specs.orchestrator(self._config, request)

    def holder(self, spec: Spec) -> Holder | None:
        """The orchestrator that already has this run_name, if there is one."""
        for name, identity in living_orchestrators(self._runtime):
            if name == run_name(spec):
                return Holder(identity.host, identity.pid)
        return None

    def accept(self, file: Path, spec: Spec) -> None:
        """Keep a request, until the orchestrator is stopped."""
        file.replace(detached_requests.request_path(self._runtime, run_name(spec)))

    def before_start(self, spec: Spec) -> None:
        """Forget how an earlier orchestrator of the run_name ended: a new one is about to start."""
        detached_requests.end_path(self._runtime, run_name(spec)).unlink(missing_ok=True)
        detached_requests.wanted_again(self._runtime, run_name(spec))

    def stopped(self, spec: Spec) -> None:
        """Note that an orchestrator is stopped on purpose, so that it is not started again."""
        if self.is_lost:
            return
        try:
            detached_requests.not_wanted(self._runtime, lambda name: name == run_name(spec))
        except OSError as error:  # a full disk must not keep it from being stopped
            log.error("%s: the next supervisor will start it again: %s", spec.name, error)

    def has_ended(self, spec: Spec, child: Child, how: str) -> tuple[str, bool]:
        """How an orchestrator has died, and whether it is not started again."""
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
        """Return when the process has registered as the orchestrator of its run_name."""
        while child.identity not in [who for _, who in living_orchestrators(self._runtime)]:
            await asyncio.sleep(REGISTRATION_POLL_S)
