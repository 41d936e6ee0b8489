"""What is read of a launch.sh that no shell executes."""

import pytest

from motoko.runs.warm_script import NotWarm, Unset, export, read

SCRIPT = """\
#!/bin/bash
# a comment with a \\backslash
set -eu
set -o pipefail

export A=1 B='it is' C="$A and $B"  # behind
export PATH=$HOME/bin:$PATH
export LONG=${NONE-by default}"\\$x \\" \\a" EMPTY=
  exec python3 -u ./doIt.py --x "${A}" 'a''b' c\\ d "" \\
    last#one   # the end

"""


def test_a_script():
    script = read(SCRIPT)
    environment = {"HOME": "/h", "PATH": "/bin"}
    script.export_to(environment)
    assert environment == {
        **{"HOME": "/h", "PATH": "/h/bin:/bin", "A": "1", "B": "it is", "C": "1 and it is"},
        **{"LONG": 'by default$x " \\a', "EMPTY": ""},
    }
    assert (script.python, script.options, script.script) == ("python3", ("-u",), "./doIt.py")
    assert script.arguments(environment) == ["--x", "1", "ab", "c d", "", "last#one"]


@pytest.mark.parametrize("python", ["python", "python3", "python3.12", "/opt/py/bin/python3"])
def test_pythons(python):
    assert read(f"{python} doIt.py").python == python


def test_a_set_variable_has_no_default():
    script = read('python doIt.py "${A-no}${B-no}"')
    assert script.arguments({"A": ""}) == ["no"]


def test_a_variable_that_must_be_set():
    environment = {}
    with pytest.raises(Unset, match="HERE: is not set"):
        export(['export X="${HERE?is not set}"'], environment)


@pytest.mark.parametrize(
    ("script", "number", "why"),
    [
        ("cd sub\npython doIt.py", 1, "starts no shell"),
        ("\npython doIt.py\necho done", 3, "nothing can follow"),
        ("python doIt.py > out", 1, "> means something"),
        ("python doIt.py &", 1, "& means something"),
        ("python doIt.py; rm x", 1, "; means something"),
        ("export X=$(date)\npython doIt.py", 1, "begins with"),
        ("export X=`date`\npython doIt.py", 1, "executes a command"),
        ("export X=$1\npython doIt.py", 1, "begins with"),
        ("python doIt.py $A", 1, "in quotes"),
        ("python doIt.py *.txt", 1, "[*] means something"),
        ("export X\npython doIt.py", 1, "NAME=value"),
        ("export X=~/a\npython doIt.py", 1, "HOME"),
        ("X=1 python doIt.py", 1, "starts no shell"),
        ("X=1\npython doIt.py", 1, "starts no shell"),
        ("mpirun -n 4 python doIt.py", 1, "starts no shell"),
        ("python -m pdb doIt.py", 1, "must call doIt.py"),
        ("python other.py", 1, "must call doIt.py"),
        ("python 'doIt.py", 1, "not closed"),
        ("set -- a b\npython doIt.py", 1, "only options"),
        ("# a comment \\\nexport A=1\npython doIt.py", 1, "does not go on"),
        ("# nothing", 0, "no line calls"),
        ("", 0, "no line calls"),
    ],
)
def test_what_only_a_shell_understands(script, number, why):
    with pytest.raises(NotWarm, match=why) as caught:
        read(script)
    assert caught.value.number == number
