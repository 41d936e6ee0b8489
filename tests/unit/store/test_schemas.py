"""Under which name a study is in its database."""

import getpass

import pytest

from motoko.store.schemas import schema_among, schema_of


def test_blackdynamite_takes_a_name_with_an_underscore_as_it_is():
    assert schema_of("mult") == f"{getpass.getuser()}_mult"
    assert schema_of("my_study") == "my_study"


@pytest.mark.parametrize(
    ("schemas", "schema"),
    [
        (["root_mult"], "root_mult"),
        (["john_doe_mult"], "john_doe_mult"),
        (["mult"], "mult"),
        (["root_my_mult", "root_mult"], "root_mult"),
        (["root_example"], "root_example"),  # Motoko took the directory's name before
        (["root_example", "root_mult"], "root_mult"),
        (["root_multi"], None),
        ([], None),
    ],
)
def test_a_study_is_found(schemas, schema):
    assert schema_among(schemas, "mult", "example") == schema


def test_names_with_an_underscore_and_capitals():
    assert schema_among(["my_study"], "My_Study", "dir") == "my_study"
    assert schema_among(["root_my_study"], "my_study", "my_study") == "root_my_study"
    assert schema_among(["root_a.b"], "axb") is None
