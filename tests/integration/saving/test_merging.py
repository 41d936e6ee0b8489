"""When pending changes are saved, and what becomes of conflicts: CONTRACT.md, "Saving"."""

import pytest
import transaction
from executing import script
from savers import MANY, turns

from motoko.store.session import session


class TestMerging:
    """Conflicts that are none: the change is applied again to the fresh object."""

    @pytest.fixture(params=["small", "large"])
    def sized(self, request, run):
        if request.param == "large":
            for number in range(MANY):
                run[f"k{number:02}"] = number
            transaction.commit()
            assert len(run.entries) > MANY
        return run

    @pytest.mark.parametrize("how", ["turn", "commit", "await"])
    def test_attribute_writes(self, wf, sized, other, how):
        async def main():
            sized.state = "MINE"
            other.do(f"run({sized.id}).nproc = 5")
            if how == "turn":
                await turns()
            elif how == "commit":
                transaction.commit()
            else:
                await wf.mult.select("state = MINE")
            assert other.see(sized.id, "state") == "MINE"
            assert other.see(sized.id, "nproc") == 5
            session().refresh(wf.mult.base)
            assert (sized.state, sized.nproc) == ("MINE", 5)

        script(wf, main)

    def test_items(self, wf, sized, other):
        sized["mine"] = 1
        sized["k00"] = "mine"
        other.do(f"run({sized.id})['theirs'] = 2; run({sized.id})['k39'] = 'theirs'")
        transaction.commit()
        for key, value in {"mine": 1, "theirs": 2, "k00": "mine", "k39": "theirs"}.items():
            assert other.see(sized.id, key) == value

    def test_undeclared_attributes(self, wf, sized, other):
        """`run.weight = 2.5` makes an attribute of the run itself, not an entry."""
        sized.weight = 2.5
        other.do(f"run({sized.id}).height = 7")
        transaction.commit()
        other.do(f"assert (run({sized.id}).weight, run({sized.id}).height) == (2.5, 7)")

    @pytest.mark.parametrize("before", [0, 20, 100])
    def test_splits(self, wf, run, other, before):
        """Both sides add so many entries that the run's tree splits nodes."""
        for number in range(before):
            run[f"k{number:03}"] = number
        transaction.commit()
        for number in range(MANY):
            run[f"a{number:02}"] = number
        run.state = "MINE"
        other.do(
            f"for n in range({MANY}):\n"
            f"    run({run.id})[f'z{{n:02}}'] = n\n"
            f"    run({run.id})[f'b{{n:02}}'] = n\n"
            f"run({run.id}).nproc = 3\n"
        )
        transaction.commit()
        expected = {f"k{n:03}": n for n in range(before)}
        expected |= {f"{c}{n:02}": n for c in "abz" for n in range(MANY)}
        expected |= {"state": "MINE", "nproc": 3}
        other.do(
            f"found = dict(run({run.id}).entries)\n"
            f"wrong = {{k: v for k, v in {expected!r}.items() if found.get(k) != v}}\n"
            f"assert not wrong, wrong"
        )

    def test_deleted_keys(self, wf, sized, other):
        sized["a"], sized["b"] = 1, 2
        transaction.commit()
        del sized["a"]
        sized.state = "MINE"
        other.do(f"del run({sized.id})['b']; run({sized.id}).nproc = 2")
        transaction.commit()
        other.do(f"assert not {{'a', 'b'}} & set(run({sized.id}).entries)")
        assert other.see(sized.id, "state") == "MINE" and other.see(sized.id, "nproc") == 2

    def test_created_beside_a_conflict(self, wf, run, other):
        """A creation in the same commit is repeated, and finds what somebody else has made."""

        async def main():
            run.state = "MINE"
            created = wf.mult.createTask(x=[5.0, 6.0])
            other.do(f"run({run.id}).nproc = 4")
            await turns()
            ids = [each.id for each, _ in created]
            assert other.ids(wf.run_name) == [run.id, *ids]
            assert other.see(run.id, "state") == "MINE" and other.see(run.id, "nproc") == 4
            assert [each.state for each, _ in created] == ["CREATED", "CREATED"]

        script(wf, main)

    def test_what_both_have_set_alike(self, wf, sized, other):
        sized.state = "SAME"
        other.do(f"run({sized.id}).state = 'SAME'; run({sized.id}).nproc = 2")
        transaction.commit()
        assert other.see(sized.id, "state") == "SAME"
