"""What large files contained is dropped when no run has it any more, and never before."""

from pathlib import Path

import pytest
import transaction
from bare_studies import study_with_files

import motoko.store.session  # noqa: F401 (what is written is noted from then on)
from motoko.host.locks import lock_in_time
from motoko.operations.cleaning import clean
from motoko.runs.states import CREATED
from motoko.store import unused_contents
from motoko.store.base import StudyBase, open_file
from motoko.store.config_files import files_of
from motoko.store.present_files import StudyFiles
from motoko.store.study_database import create_study
from motoko.store.task_creator import TaskCreator
from motoko.store.unused_contents import drop_unused

SIZE = 100_000
RUN = {"machine_name": "localhost", "nproc": 1, "run_name": "r", "event_name": "main"}


class Study:
    """A study with a large file, and who creates its runs."""

    def __init__(self, directory: Path) -> None:
        self.study = study_with_files(directory, jobs={"x": int}, config_files=("big.dat",))
        self.write("a")
        create_study(self.study)
        self.base: StudyBase = open_file(self.study)
        self.creator = TaskCreator(self.base)

    def write(self, letter: str) -> None:
        (self.study.directory / "big.dat").write_text(letter * SIZE)

    def create(self, x: int) -> None:
        self.creator.create([{"x": x}], RUN, identity=RUN)
        transaction.commit()

    @property
    def kept(self) -> set[str]:
        return {path.read_text()[0] for path in self.study.contents_directory.iterdir()}


@pytest.fixture
def study(tmp_path):
    made = Study(tmp_path)
    yield made
    made.base.close()


def test_what_no_run_has(study):
    study.create(1)
    study.write("b")
    study.create(2)
    assert drop_unused(study.base) == 0 and study.kept == {"a", "b"}
    clean(study.base, {1: CREATED}, delete=True)
    assert drop_unused(study.base) == SIZE and study.kept == {"b"}
    clean(study.base, {2: CREATED}, delete=True)
    assert drop_unused(study.base) == SIZE and not study.kept
    study.create(3)  # by one who has read the file before, and not since
    assert study.kept == {"b"} and drop_unused(study.base) == 0
    (big,) = [f for f in files_of(study.base, study.base.runs.entries[3])[1] if f.name != "doIt.py"]
    assert big.read() == b"b" * SIZE


def test_what_is_about_to_be_had(study, monkeypatch):
    monkeypatch.setattr(unused_contents, "_LOCK_S", 0.05)
    study.create(1)
    clean(study.base, {1: CREATED}, delete=True)
    lock = lock_in_time(study.study.database.creation_lock, 1)
    assert drop_unused(study.base) == 0  # somebody creates runs just now
    lock.release()
    StudyFiles(study.study, keeping=True).present()  # a launcher that prepares a run
    assert drop_unused(study.base) == 0 and study.kept == {"a"}
    monkeypatch.setattr(unused_contents, "SPARED_S", 0.0)
    assert drop_unused(study.base) == SIZE and not study.kept
