import pytest
from bare_studies import study_with_files

from motoko.store.base import open_file
from motoko.store.study_database import create_study


@pytest.fixture
def base(tmp_path):
    """The base of a new study, whose jobs have ``x``."""
    study = study_with_files(tmp_path, jobs={"x": int})
    create_study(study)
    base = open_file(study)
    yield base
    base.close()
