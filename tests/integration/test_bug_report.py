"""``motoko bug-report``: what somebody needs is in it, and no secret."""

import json
import stat
import tarfile

# Each is planted once, under a number of its own, where people have theirs.
YAML = """\
environment: {{API_KEY: {0}, PLAIN_NAME: {1}}}
mail_password: {2}
storage: https://me:{3}@storage.example.org/bucket
slurm_options: ["comment=token:{4}"]
"""
ENTRY = "mult:\n    environment:\n      DATABASE: 'pg://u:{5}@db/x'\n      OTHER: {6}\n"
LAUNCH = "export SECRET_OF_SITE='{7}'\ncurl -H 'Authorization: Bearer {8}' --password {9} x\n"
LOG = """\
2026-11-24T03:12:37.092Z INFO fetching https://x.org/data?access_token={10}&n=1
2026-11-24T03:12:37.092Z INFO headers={{'X-Auth-Token': '{11}', 'Cookie': 'sid={12}'}}
2026-11-24T03:12:37.092Z ERROR login failed: password={13} user=me
    the variable was {14}
    and the other one {6}, as was {1}
    ghp_{15}
-----BEGIN OPENSSH PRIVATE KEY-----
{16}
"""
DETACHED = {"environment": {"WANDB_API_KEY": "{17}", "HOME": "/home/me"}}
LOG_OF_DETACHED = "started with {17}\n"
KEY = "-----BEGIN PRIVATE KEY-----\n{18}\n-----END PRIVATE KEY-----\n"
LOG_WITH_KEY = "read {18}, and {19}\n"
SECRETS = [f"s3cret{number:02d}x{number * 7919 % 1000:03d}Q" for number in range(20)]


def test_no_secret_is_in_it(workflow, monkeypatch):
    flow = workflow()
    there, wf = flow.directory, flow.directory / ".wf"
    flow.supervise()  # for real logs
    assert flow.motoko("kill").returncode == 0
    planted = {
        flow.path: flow.path.read_text().replace("mult:\n", ENTRY.format(*SECRETS))
        + YAML.format(*SECRETS),
        there / "mult" / "launch.sh": LAUNCH.format(*SECRETS) + "python doIt.py\n",
        wf / "log" / "bus.log": LOG.format(*SECRETS),
        wf / "log" / "watcher.log": LOG_OF_DETACHED.format(*SECRETS),
        wf / "log" / "gate.log": LOG_WITH_KEY.format(*SECRETS),
        wf / "detached" / "first.json": json.dumps(DETACHED).replace("{17}", SECRETS[17]),
        wf / "channel" / "key.pem": KEY.format(*SECRETS),
    }
    before = flow.path.read_text()
    for path, text in planted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    environment = {"MY_TOKEN": SECRETS[14], "SOME_CREDENTIALS": SECRETS[19]}
    (wf / "channel" / "key.pem").chmod(0o600)
    done = flow.motoko("bug-report", "-o", "report.tar.gz", **environment)
    flow.path.write_text(before)
    assert done.returncode == 0 and done.stdout == "report.tar.gz\n", done.stderr
    archive = there / "report.tar.gz"
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    all_planted = "\n".join(planted.values()) + "".join(environment.values())
    assert [secret for secret in SECRETS if secret not in all_planted] == []
    with tarfile.open(archive) as opened:
        texts = {
            member.name.partition("/")[2]: opened.extractfile(member).read().decode()
            for member in opened
        }
    found = [
        (secret, name)
        for secret in SECRETS
        for name, text in texts.items()
        if secret in name + text
    ]
    assert found == []
    # What is needed to help is there.
    assert {"motoko.yaml", "mult/bd.yaml", "mult/launch.sh", "doctor.json", "ps.json"} <= set(texts)
    assert "orchestrator: orchestrator.main" in texts["motoko.yaml"]
    assert "PLAIN_NAME" in texts["motoko.yaml"] and "python doIt.py" in texts["mult/launch.sh"]
    assert json.loads(texts["versions.json"])["versions"]["motoko"]
    assert any(finding["check"] == "locks" for finding in json.loads(texts["doctor.json"]))
    assert json.loads(texts["ps.json"])["supervisor"]["state"] == "not running"
    assert "ready" in texts[".wf/log/supervisor.log"] and "user=me" in texts[".wf/log/bus.log"]
    assert not any("detached" in name or "channel" in name for name in texts)
    again = flow.motoko("bug-report", "-o", "report.tar.gz")
    assert again.returncode == 1 and "report.tar.gz cannot be written" in again.stderr
