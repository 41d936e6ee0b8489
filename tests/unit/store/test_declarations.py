"""What bd.yaml declares is compared with a study's database, however large that is."""

from dataclasses import replace

import transaction
from bare_bases import create, made

from motoko.store.declarations import differences

LOADED_MAX = 40  # records: a tree of 1,000 has some 70


def test_a_large_study_is_not_loaded_to_be_compared_or_added_to(tmp_path):
    with made(tmp_path) as base:
        create(base, range(1000))
        transaction.commit()
        base.study = replace(base.study, jobs={"x": float})
        base.connection.cacheMinimize()
        base.connection.getTransferCounts(clear=True)
        assert [*map(str, differences(base))] == ["job parameter x was int and is float"]
        create(base, [1000])
        loaded, _ = base.connection.getTransferCounts()
        assert loaded < LOADED_MAX, loaded
