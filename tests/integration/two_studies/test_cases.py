"""Several studies open in one process never mix: the cases that FACTS.md names as wrong.

All through a workflow's task managers. Job and run numbers are the same in both studies, so that
whatever reaches into the wrong one finds something there.
"""

import BlackDynamite as BD
import pytest
import transaction
from study_pairs import BOTH, TYPES

# Its parser of constraints, with the present pyparsing.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:BlackDynamite")


def bases(wf):
    return {study: getattr(wf, study).base for study in BOTH}


@pytest.mark.parametrize("first", BOTH)
class TestCases:
    """``first`` is looked at first, the other study right afterwards, and ``first`` again."""

    def order(self, first):
        second = "beta" if first == "alpha" else "alpha"
        return (first, second, first)

    def test_run_base(self, wf, runs, first):
        for study in self.order(first):
            run, job = runs[study]
            assert run.base is job.base is getattr(wf, study).base
            for selected, its_job in getattr(wf, study).select():
                assert selected.base is its_job.base is run.base

    def test_types(self, wf, runs, first):
        base = bases(wf)
        for study in self.order(first):
            job_types, run_types = TYPES[study]
            other_job, other_run = TYPES["beta" if study == "alpha" else "alpha"]
            run, job = base[study].Run(), base[study].Job()
            assert run_types <= set(run.types.entries) and not other_run & set(run.types.entries)
            assert job_types <= set(job.types.entries) and not other_job & set(job.types.entries)

    def test_new_objects_stay_with_their_base(self, wf, first):
        base = bases(wf)
        one, two, three = self.order(first)
        run, job = base[one].Run(), base[one].Job()
        base[two].Run(), base[two].Job()
        assert run.base is job.base is base[one]
        assert base[three].Run().base is base[three]

    def test_selector(self, wf, runs, first):
        constraints = {"alpha": ["x > 1", "depth = 1"], "beta": ["name = b", "width = w"]}
        for study in self.order(first):
            manager = getattr(wf, study)
            manager.select()
            for selector in (manager.selector, BD.RunSelector(manager.base)):
                found = selector.selectRuns(
                    [*constraints[study], f"run_name = {wf.run_name}"], quiet=True
                )
                assert [(run.id, job.id) for run, job in found] == [
                    (runs[study][0].id, runs[study][1].id)
                ]
                assert all(run.base is manager.base for run, _ in found)
            jobs = BD.JobSelector(manager.base).selectJobs(constraints[study][:1], quiet=True)
            assert runs[study][1].id in [job.id for job in jobs]

    def test_matched_objects(self, wf, runs, first):
        for study in self.order(first):
            run, job = runs[study]
            wanted = getattr(wf, study).base.Job()
            wanted["id"] = job.id
            assert [found.id for found in wanted.getMatchedObjectList()] == [job.id]
            assert run.replaceBlackDynamiteVariables("__BLACKDYNAMITE__study__").endswith(study)

    def test_add_config_files(self, wf, runs, first, tmp_path):
        base = bases(wf)
        for study in self.order(first)[:2]:
            path = tmp_path / f"{study}-{wf.run_name}.txt"
            path.write_text(f"of {study}")
            (file_id,) = runs[study][0].addConfigFiles([str(path)])
            transaction.commit()
            assert file_id in base[study].configfiles and file_id in runs[study][0].configfiles
            other = base["beta" if study == "alpha" else "alpha"]
            assert file_id not in other.configfiles

    def test_get_config_files(self, wf, runs, first):
        for study in self.order(first):
            run, _ = runs[study]
            found = {file.filename: file.file for file in run.getConfigFiles()}
            assert found["doIt.py"] == f"# {study}\n"
            assert found["launch.sh"].startswith(f"# {study} ")
            assert found["launch.sh"].rstrip().endswith(f"_{study}")
            assert run.getExecFile().filename == "launch.sh"

    @pytest.mark.parametrize("both_first", [False, True], ids=["one-by-one", "both-first"])
    def test_attach_to_job(self, wf, runs, first, both_first):
        base = bases(wf)
        before = {study: set(base[study].runs.entries) for study in BOTH}
        made = {}

        def new(study):
            run = base[study].Run()
            run["machine_name"], run["nproc"], run["run_name"] = "localhost", 1, wf.run_name + "x"
            run["depth" if study == "alpha" else "width"] = 2 if study == "alpha" else "v"
            run["exec"] = runs[study][0].exec
            return run

        made_first = {study: new(study) for study in self.order(first)[:2]} if both_first else {}
        for study in self.order(first)[:2]:
            run = made_first.get(study) or new(study)
            made[study] = run.attachToJob(runs[study][1])
            transaction.commit()
        for study in BOTH:
            assert set(base[study].runs.entries) - before[study] == {made[study]}
            stored = base[study].runs[made[study]]
            assert stored.job_id == runs[study][1].id and stored.state == "CREATED"
            assert ("depth" in stored.entries) == (study == "alpha")
            assert made[study] in runs[study][1].runs.entries

    def test_insert_of_a_job(self, wf, runs, first):
        base = bases(wf)
        for study in self.order(first)[:2]:
            before = {each: len(base[each].jobs.entries) for each in BOTH}
            job = base[study].Job()
            if study == "alpha":
                job["x"] = float(before["alpha"] + 100)
            else:
                job["name"] = f"n{before['beta']}"
            number = base[study].insert(job)
            transaction.commit()
            after = {each: len(base[each].jobs.entries) for each in BOTH}
            assert {each: after[each] - before[each] for each in BOTH} == {
                each: int(each == study) for each in BOTH
            }
            assert base[study].jobs[number].base is base[study]

    def test_update(self, wf, runs, first):
        for study in self.order(first):
            runs[study][0].update(note=f"of {study}")
            runs[study][1].update(remark=f"of {study}")
        for study in BOTH:
            base = getattr(wf, study).base
            assert base.runs[runs[study][0].id]["note"] == f"of {study}"
            assert base.jobs[runs[study][1].id]["remark"] == f"of {study}"

    def test_delete(self, wf, runs, first):
        base = bases(wf)
        one, two, _ = self.order(first)
        before = {study: set(base[study].runs.entries) for study in BOTH}
        number = runs[one][0].id
        runs[one][0].delete()
        transaction.commit()
        assert set(base[one].runs.entries) == before[one] - {number}
        assert set(base[two].runs.entries) == before[two]
        assert number not in runs[one][1].runs.entries
        assert runs[two][0].state == "CREATED" and len(getattr(wf, two).select()) == 1

    def test_states(self, wf, runs, first):
        """What BlackDynamite's own methods write."""
        one, two, _ = self.order(first)
        runs[one][0].start()
        assert (runs[one][0].state, runs[two][0].state) == ("START", "CREATED")
        runs[two][0].fail()
        runs[one][0].finish()
        assert (runs[one][0].state, runs[two][0].state) == ("FINISHED", "FAILURE")

    def test_quantities(self, wf, runs, first, tmp_path):
        for study in self.order(first)[:2]:
            run = runs[study][0]
            (tmp_path / study).mkdir()
            run["run_path"] = str(tmp_path / study)
            run.pushQuantity(2.0, 0, f"q_{study}")
            transaction.commit()
        for study in BOTH:
            run = runs[study][0]
            assert list(run.quantities) == [f"q_{study}"]
            assert run.getQuantity(f"q_{study}").shape == (1, 2)
