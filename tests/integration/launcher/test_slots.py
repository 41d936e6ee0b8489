"""Launchers: run directories as BlackDynamite writes them, failures, retries, slots."""

import asyncio
import subprocess
from pathlib import Path

from launched_scripts import Session, change
from runs import all_are, make_runs, runs_of

from motoko.host.identity import Identity
from motoko.workers.launcher.leftovers import Leftovers
from motoko.workers.launcher.slots import Slots, release


class TestSlots:
    SLEEPER = (
        "import time\nimport BlackDynamite as BD\nrun, job = BD.getRunFromScript()\n"
        "run.start()\nrun['began'] = time.monotonic()\ntime.sleep(1)\n"
        "run['ended'] = time.monotonic()\nrun.finish()\n"
    )

    def overlap(self, runs):
        """The largest number of runs that were between their recorded start and end at once."""
        events = sorted([(run.began, 1) for run, _ in runs] + [(run.ended, -1) for run, _ in runs])
        running, most = 0, 0
        for _, step in events:
            running += step
            most = max(most, running)
        return most

    def test_eight_runs_on_four_slots(self, flow, session):
        change(flow, doIt_py=self.SLEEPER)
        flow.supervise("--slots", "4")
        one = session()
        runs = one.wait(one.mult.createTask(x=[float(x) for x in range(8)]))
        assert len(runs) == 8
        # In a ring of 4 slots, runs of a second each that start within it overlap.
        assert 2 <= self.overlap(runs) <= 4

    def test_wide_runs(self, flow, session):
        change(flow, yaml="slots: 2\n", doIt_py=self.SLEEPER.replace("sleep(1)", "sleep(0.3)"))
        flow.supervise()
        one = session()
        wide = one.mult.createTask({"nproc": 2}, x=1.0)
        narrow = one.mult.createTask(x=[2.0, 3.0])
        runs = one.wait(wide, narrow)
        ((first, _), *others) = runs
        for run, _ in others:
            assert run.began >= first.ended or run.ended <= first.began

    def test_wide_runs_are_not_starved_by_another_study(self, workflow):
        flow = workflow(name="two", studies=("add", "mult"))
        with open(flow.path, "a") as file:
            file.write("slots: 2\n")
        for study in ("add", "mult"):
            text = self.SLEEPER.replace("sleep(1)", "sleep(0.3)")
            (flow.directory / study / "doIt.py").write_text(text)
        flow.supervise()
        one = Session(flow, "r")
        try:
            narrow = one.workflow.add.createTask(x=[float(x) for x in range(12)])

            async def main():
                await one.workflow.add.select("state = START")
                # First come, first served: ten of the others have not started yet.
                wide = one.mult.createTask({"nproc": 2}, x=1.0)
                try:
                    return await wide, await narrow
                finally:
                    one.workflow.motoko_engine.detach()

            wide, others = asyncio.run(main())
            later = [run.id for run, _ in others if run.began > wide[0][0].began]
            assert len(later) >= 6, f"{len(later)} of 12 runs came after the wide one"
        finally:
            one.workflow.close()

    def test_more_than_there_are(self, flow, session):
        change(flow, yaml="slots: 2\n")
        flow.supervise()
        one = session()
        ((wide, _),) = one.wait(one.mult.createTask({"nproc": 3}, x=1.0))
        assert wide.state == "FINISHED" and wide["nproc"] == 3
        assert "wants 3 slots, and there are 2: it takes them all" in flow.log("launcher:mult")
        assert one.wait(one.mult.createTask(x=1.0))


def test_of_what_does_not_end(tmp_path):
    """The slot of a run that does not end is used by others; the run is shown until it is gone."""

    async def main():
        slots = Slots(tmp_path, 1)
        leftovers, held = Leftovers(slots), slots.take(1)
        with subprocess.Popen(["sleep", "1000"], pass_fds=held) as process:
            try:
                release(held)
                assert slots.take(1) is None
                leftovers.note_killed([Identity.of(process.pid)], patience=0.0)
                taken = None
                while taken is None:
                    await asyncio.sleep(0.05)
                    taken = slots.take(1)
                assert leftovers.detail == (
                    f", 1 killed process of ended runs not gone: pid {process.pid}"
                )
                assert slots.take(1) is None, "it is taken, by one"
                release(taken)
                assert slots.replace_those_of(process.pid) == 0, "it has no slot any more"
            finally:
                process.kill()
        while leftovers.detail:
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_those_that_the_released_launcher_has_left_behind(flow):
    """0.1.4 was killed between TOBELAUNCHED and `launched`: their launch.sh was never started."""
    path = str(flow.directory / "mult" / "BD-mult-runs" / "run-1")
    make_runs(flow, {"state": "TOBELAUNCHED", "run_path": path}, {"state": "TOBELAUNCHED"})
    flow.supervise()
    all_are(flow, "FINISHED")
    for run in runs_of(flow).values():
        claims = [claim.name for claim in Path(run["run_path"]).glob(".motoko/attempt-*")]
        assert (claims, run["attempt"]) == (["attempt-1"], 1)
