"""By which id a launch.sh is kept: BlackDynamite's, by which motoko 0.1.4 finds a run again."""

import pytest
from BlackDynamite.conffile_zeo import ConfFile

from motoko.config import load
from motoko.config.run_files import LAUNCH
from motoko.store.present_files import StudyFiles


@pytest.fixture
def study(tmp_path):
    (tmp_path / "mult").mkdir()
    (tmp_path / "motoko.yaml").write_text("task_managers:\n  mult:\norchestrator: o.main\n")
    (tmp_path / "mult" / "bd.yaml").write_text("study: mult\njob:\n  x: int\n")
    (tmp_path / "mult" / "doIt.py").touch()
    (tmp_path / "mult" / LAUNCH).touch()
    return load(tmp_path).studies["mult"]


@pytest.mark.parametrize("text", ["python doIt.py\n", "echo é\n", "no end of line"])
def test_a_text(study, text):
    path = study.directory / LAUNCH
    path.write_text(text)
    launch = StudyFiles(study, keeping=False).present().launch
    assert launch.launch_id == ConfFile(str(path)).id != launch.id


@pytest.mark.parametrize("data", [b"", b"echo \xe9\n", b"echo 1\r\n"])
def test_what_blackdynamite_cannot_tell(study, data):
    (study.directory / LAUNCH).write_bytes(data)
    launch = StudyFiles(study, keeping=False).present().launch
    assert launch.launch_id == launch.id
