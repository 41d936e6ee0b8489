"""``archive:`` in motoko.yaml."""

import pytest
from configs import GOOD, refused

from motoko.config import load
from motoko.config.archive_settings import ArchiveSettings, Author


def with_archive(workflow, text):
    (workflow / "motoko.yaml").write_text(f"{GOOD}archive: {text}\n")
    return workflow


def test_settings(workflow):
    assert load(workflow).archive == ArchiveSettings()
    text = """
  title: A title
  description: What it is about
  licence: CC-BY-4.0
  authors:
    - {name: Ada Lovelace, orcid: https://orcid.org/0000-0002-1825-0097, affiliation: London}
    - {name: Josiah Carberry, orcid: 0000-0002-1694-233X}
    - name: Nobody
  files: [data/*.csv, mesh/]
  environment: [OMP_NUM_THREADS]"""
    settings = load(with_archive(workflow, text)).archive
    assert settings == ArchiveSettings(
        "A title",
        "What it is about",
        "CC-BY-4.0",
        (
            Author("Ada Lovelace", "0000-0002-1825-0097", "London"),
            Author("Josiah Carberry", "0000-0002-1694-233X"),
            Author("Nobody"),
        ),
        ("data/*.csv", "mesh/"),
        ("OMP_NUM_THREADS",),
    )
    assert load(with_archive(workflow, "{licence: 'https://a.b/c'}")).archive.licence


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("CC-BY-4.0", "archive", "`licence:`"),
        ("{licence: CC BY 4.0}", "archive.licence", "CC-BY-4.0"),
        ("{licence: 'ftp://a b'}", "archive.licence", "CC-BY-4.0"),
        ("{licence: [MIT]}", "archive.licence", "CC-BY-4.0"),
        ("{authors: Ada}", "archive.authors", "- {name:"),
        ("{authors: [{orcid: 0000-0002-1825-0097}]}", "archive.authors[0].name", "name"),
        # One digit is wrong.
        ("{authors: [{name: A, orcid: 0000-0002-1825-0096}]}", "archive.authors[0].orcid", "orcid"),
        ("{authors: [{name: A, orcid: 1234}]}", "archive.authors[0].orcid", "orcid.org"),
        ("{files: [../secret]}", "archive.files", "[data/*.csv"),
        ("{files: ['a**']}", "archive.files", "[data/*.csv"),
        ("{files: [/etc/passwd]}", "archive.files", "[data/*.csv"),
        ("{environment: {A: b}}", "archive.environment", "[OMP_NUM_THREADS]"),
    ],
)
def test_refusals(workflow, text, key, hint):
    refused(with_archive(workflow, text), key, hint=hint)


def test_unknown_keys_are_warned_about(workflow):
    config = load(with_archive(workflow, "{license: MIT, authors: [{name: A, orchid: 1}]}"))
    assert any("'license' (did you mean 'licence'?)" in line for line in config.warnings)
    assert any("'orchid' (did you mean 'orcid'?)" in line for line in config.warnings)
