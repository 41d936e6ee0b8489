"""``results:``: what a program prints and writes is on its run, as soon as that is FINISHED."""

RESULTS = r"""
    finish: on-exit
    results:
      energy: 'energy = (\S+)'
      steps: {json: steps, file: out.json, type: int, optional: true}
"""


def test_results(supervised):
    flow, session = supervised("--slots", "4", below={"mult": RESULTS}, do_it=False)
    good = session.create("echo energy = 2.5\necho '{\"steps\": 12}' > out.json\n")
    less = session.create("echo energy = 1\n")
    none = session.create("echo enrgy = 1\n")
    bad = session.create("echo energy = 1\nexit 3\n")
    errors = session.ends(good, less, none, bad)
    # With the state, in one commit: whoever awaits them has them.
    assert (good.energy, good.steps) == (2.5, 12)
    assert (less.energy, less.steps) == (1.0, None)
    assert errors[:2] == [None, None] and "exit code 3" in errors[3].reason
    assert (
        errors[2].reason == rf"no result energy: 'energy = (\S+)' matches nothing in r.o{none.id}"
    )
    assert (none.state, none.exit_code) == ("FAILED", 0) and "energy" not in bad.entries
    # Executed once more, it has not what it had before.
    fickle = session.create("[ -e ../was-here ] || echo energy = 1\ntouch ../was-here\n")
    assert session.ends(fickle) == [None] and fickle.energy == 1.0
    assert flow.motoko("clean", f"mult.{fickle.id}").returncode == 0
    session.until(fickle, state="FAILED", energy=None)
    explained = flow.motoko("explain", f"mult.{good.id}").stdout
    assert "energy = 2.5" in explained and "steps = 12" in explained
    table = flow.motoko("table", "mult", "--format", "csv").stdout.splitlines()
    assert {"energy", "steps"} <= {*table[0].split(",")} and any(",2.5" in row for row in table)


def test_a_missing_result_is_tried_again(supervised):
    """A missing result is retried; a file of the previous attempt does not count."""
    below = {"mult": RESULTS.replace("optional: true", "optional: false") + "    retries: 1\n"}
    _, session = supervised(below=below, do_it=False)
    write = "echo '{\"steps\": %d}' > out.json\n"
    mended = "[ -e .motoko/attempt-2 ] && echo energy = 2\n"
    once, stale = (
        session.create(f"{write % 3}{mended}"),
        session.create(f"[ -e .motoko/attempt-2 ] || {write % 3}{mended}"),
    )
    first, second = session.ends(once, stale)
    assert first is None and (once.energy, once.steps, once.attempt) == (2.0, 3, 2)
    assert "out.json was left by an earlier attempt" in second.reason and stale.attempt == 2
