"""Secrets go out of texts, wherever they stand; what is no secret stays."""

import pytest

from motoko.health.hidden_secrets import hidden, values_of

SECRET = "S3cr3t-v4lue"


@pytest.mark.parametrize(
    "text",
    [
        f"urls: [discord://4174/{SECRET}, mattermost://host/{SECRET}]",
        f"https://me:{SECRET}@example.org/x",
        f"GET /a?x=1&access_token={SECRET}&y=2",
        f"Authorization: Basic {SECRET} and more",
        f"the header was Bearer {SECRET}",
        f'{{"api_key": "{SECRET}", "x": 1}}',
        f"export DB_PASSWORD='{SECRET} with blanks'",
        f"mytool --password {SECRET} --x 1",
        f"mytool --token={SECRET}",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n(cut off)",
        f"a: 1\n  environment:\n    X: {SECRET}\n\n    Y: '{SECRET}'\nb: 2\n",
        f"mult: {{environment: {{X: {SECRET}, Y: 2}}}}",
        f"environment: {{X: {SECRET}",
        "ghp_" + SECRET.replace("-", "") * 2,
        f"eyJhbGciOiJIUzI1NiJ9.eyJ4Ijoi{SECRET.replace('-', '')}.sig",
    ],
)
def test_forms(text):
    assert SECRET.replace("-", "") not in hidden(text).replace("-", ""), hidden(text)


def test_known_values():
    assert hidden(f"a {SECRET} b", {SECRET, "a"}) == "a *** b"
    environment = {"MY_TOKEN": SECRET, "PWD": "/home/me", "HOME": "/home/me"}
    assert {value for _, value in values_of(environment)} == {SECRET}


@pytest.mark.parametrize(
    "text",
    [
        "task_managers: {mult: , add: }\norchestrator: orchestrator.main\nslots: 2\n",
        "2026-11-24T03:12:37.152Z INFO supervisor bus ready pid=3117",
        '{"name": "zeo:mult", "state": "ready", "uptime_s": 2.6}',
        "motoko: error: study mult has no database yet [not-created]",
        "host: zeo:///w/mult, bus at ipc:///tmp/x/bus-in, see https://example.org/a",
    ],
)
def test_other_texts_stay(text):
    assert hidden(text) == text
