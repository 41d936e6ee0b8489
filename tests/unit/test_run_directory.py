"""The files of a run directory."""

import subprocess

import pytest

from motoko.workers.run_directory import Unset, fill, header, keep_output, write


class TestHeader:
    NAMES = ("HOST", "STUDY", "SCHEMA", "RUN_ID", "USER")

    def exported(self, text):
        script = text + "".join(f'printf "%s\\n" "$BLACKDYNAMITE_{n}"\n' for n in self.NAMES)
        script += "env | grep -c ^BLACKDYNAMITE_\n"
        done = subprocess.run(
            ["bash", "-u"], input=script, capture_output=True, text=True, check=True, env={}
        )
        return done.stdout.splitlines()

    @pytest.mark.parametrize("host", ["zeo:///a/b", 'zeo:///a b/it\'s $HOME "q" `id`\\n/s'])
    def test_exports(self, host):
        environment = {"OTHER": "a b", "BLACKDYNAMITE_HOST": "nobody may change it"}
        text = header(host=host, schema="me_mult", run_id=7, user="me", environment=environment)
        assert "export OTHER='a b'\n" in text
        assert text.startswith("#!/bin/bash\n") and text.endswith("\n")
        assert self.exported(text) == [host, "me_mult", "me_mult", "7", "me", "5"]


class TestFill:
    def test_values(self):
        text = "a=__BLACKDYNAMITE__a__ b=__BLACKDYNAMITE__b_c__\n__BLACKDYNAMITE__a__"
        assert fill(text, {"a": 1.5, "b_c": "x"}, "f") == "a=1.5 b=x\n1.5"

    def test_neighbours(self):
        text = "__BLACKDYNAMITE__a____BLACKDYNAMITE__b__"
        assert fill(text, {"a": 1, "b": 2}, "f") == "12"

    def test_value_is_not_filled_again(self):
        values = {"a": "__BLACKDYNAMITE__b__", "b": 1}
        assert fill("__BLACKDYNAMITE__a__", values, "f") == "__BLACKDYNAMITE__b__"

    @pytest.mark.parametrize("value", [0, False, "", [], 0.0])
    def test_false_values_are_values(self, value):
        assert fill("<__BLACKDYNAMITE__a__>", {"a": value}, "f") == f"<{value}>"

    def test_unset(self):
        with pytest.raises(Unset, match=r"input\.in.*'depth'"):
            fill("__BLACKDYNAMITE__depth__", {"depth": None}, "input.in")

    def test_same_text_other_values(self):
        text = "__BLACKDYNAMITE__a__"
        assert [fill(text, {"a": n}, "f") for n in (1, 2)] == ["1", "2"]

    def test_without_placeholders(self):
        text = "echo __BLACKDYNAMITE__\n{a} %s $x\n"
        assert fill(text, {"a": 1}, "f") == text


class TestWrite:
    def test_files_and_mode(self, tmp_path):
        target = tmp_path / "with space" / "run-1"
        write(target, {"launch.sh": "#!/bin/bash\n", "doIt.py": "é"}, executable="launch.sh")
        assert (target / "launch.sh").stat().st_mode & 0o777 == 0o700
        assert (target / "doIt.py").read_text(encoding="utf-8") == "é"
        assert not (target / "doIt.py").stat().st_mode & 0o111

    def test_again_makes_new_files(self, tmp_path):
        # bash reads a script while it runs: a running attempt keeps its own.
        write(tmp_path, {"launch.sh": "old"}, executable="launch.sh")
        with open(tmp_path / "launch.sh") as running:
            write(tmp_path, {"launch.sh": "new"}, executable="launch.sh")
            assert running.read() == "old"
        assert (tmp_path / "launch.sh").read_text() == "new"


class TestKeepOutput:
    def test_renamed_by_attempt(self, tmp_path):
        for kind in "oe":
            (tmp_path / f"a.{kind}3").write_text(kind)
        keep_output(tmp_path, "a", 3, 1)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.e3.1", "a.o3.1"]
        assert (tmp_path / "a.e3.1").read_text() == "e"

    def test_nothing_there(self, tmp_path):
        keep_output(tmp_path, "a", 3, 1)
        assert not list(tmp_path.iterdir())
