"""Decoding BlackDynamite's records, and following a study's runs transaction by transaction."""

import pytest
import transaction
from record_databases import Study


@pytest.fixture
def study(tmp_path):
    transaction.abort()
    made = Study(tmp_path)
    yield made
    made.base.close()
