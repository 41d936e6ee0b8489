"""A study in memory, which an index follows."""

import pytest
import transaction
from record_databases import Study


@pytest.fixture
def study(tmp_path):
    transaction.abort()
    study = Study(tmp_path)
    yield study
    transaction.abort()
    study.base.close()
