"""What is said of results that were made with other files."""

from motoko.runs.outdated import Outdated


def test_one_and_many():
    one = str(Outdated("mult", ("doIt.py",), 1))
    assert one.startswith(
        "study mult: doIt.py has changed since 1 finished run was made. Its result"
    )
    many = str(Outdated("mult", ("doIt.py", "in.dat"), 12))
    assert "doIt.py, in.dat have changed since 12 finished runs were made. Their results" in many
    assert all("`motoko retry --changed -bd mult`" in text for text in (one, many))
