"""What counts as a workflow's secrets, and where each comes from."""

from configs import GOOD, make_workflow

from motoko.config import load
from motoko.health.known_secrets import known_secrets


def test_the_secrets_of_a_workflow(tmp_path):
    directory = make_workflow(tmp_path / "w")
    (directory / "motoko.yaml").write_text(
        GOOD.replace("  mult:", "  mult: {environment: {OF_STUDY: value-of-study}}")
        + "environment: {DATA: value-of-data, SHORT: abc}\n"
        "notify: {urls: [env:WHERE, file:addresses]}\n"
    )
    (directory / "norm" / "bd.yaml").write_text(
        "study: norm\njob: {x: float}\nrun_params: {environment: {OF_RUNS: value-of-runs}}\n"
    )
    (directory / "addresses").write_text("discord://one/token\ndiscord://two/token\n")
    (directory / ".wf" / "channel").mkdir(parents=True)
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n"
    (directory / ".wf" / "channel" / "key.pem").write_text(key)
    environment = {"WHERE": "mailto://me:pass@host", "API_TOKEN": "sesame-open", "EDITOR": "editor"}
    config = load(directory)
    secrets = known_secrets(directory, config, environment)
    assert secrets == {
        "value-of-study": "OF_STUDY",
        "value-of-data": "DATA",
        "value-of-runs": "OF_RUNS",
        "mailto://me:pass@host": "WHERE",
        "sesame-open": "API_TOKEN",
        "discord://one/token": str(directory / "addresses"),
        "discord://two/token": str(directory / "addresses"),
        "MIIEvQIBADANBg": str(directory / ".wf" / "channel" / "key.pem"),
    }
    public = known_secrets(directory, config, environment, ["DATA", "API_TOKEN"])
    assert secrets.keys() - public.keys() == {"value-of-data", "sesame-open"}
    assert known_secrets(directory, None, {}) == {
        text: what for text, what in secrets.items() if text.startswith("MII")
    }
