"""Launchers: run directories as BlackDynamite writes them, failures, retries, slots."""

import asyncio
import time
from typing import ClassVar

import pytest
from support import Flow, wait_until

from motoko import RunFailed, Workflow


def change(flow: Flow, *, yaml="", bd="", **files):
    """Append to motoko.yaml and bd.yaml, replace files of the study (``launch_sh="..."``)."""
    study = flow.directory / "mult"
    with open(flow.path, "a") as file:
        file.write(yaml)
    with open(study / "bd.yaml", "a") as file:
        file.write(bd)
    for name, text in files.items():
        (study / name.replace("_", ".")).write_text(text)


def given_up(connecting):
    """Wait until a client of BlackDynamite's has no patience any more: it has five seconds.

    Args:
        connecting: the file that its script has written just before.
    """
    wait_until(connecting.exists, "it connects")
    end = time.monotonic() + 8
    wait_until(lambda: time.monotonic() > end, "BlackDynamite would have given up", 10)


class Session:
    """A workflow object in this process."""

    opened: ClassVar = []

    def __init__(self, flow, run_name):
        self.workflow = Workflow(flow.path)
        self.opened.append(self.workflow)
        self.workflow.run_name = run_name
        self.mult = self.workflow.mult

    @classmethod
    def close_all(cls):
        """Close all that were made: a commit of later ones would wait for their servers, too."""
        while cls.opened:
            cls.opened.pop().close()

    def wait(self, *runs):
        """Await runs, in one loop; the pairs of all."""

        async def main():
            try:
                return [pair for each in runs for pair in await each]
            finally:
                self.workflow.motoko_engine.detach()

        return asyncio.run(main())

    def failure(self, runs):
        with pytest.raises(RunFailed) as caught:
            self.wait(runs)
        return caught.value
