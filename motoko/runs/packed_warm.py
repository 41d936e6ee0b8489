"""The part of a pack's script that lets ``python: warm`` save each run the start of its Python.

A pack has one template: a Python that has loaded the modules of its runs (see packed_template.py).
The job defines a shell function ``python``, which launch.sh finds as it finds any exported
function. When launch.sh calls doIt.py, the function has the template fork the run. Whatever does
not fit (another Python, other options, no template yet) is started as ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

# The line of a pack's file that says that its runs are warm, and which modules they need.
WARM = "warm"
TEMPLATE = "packed_template.py"
PARTS = ("warm_modules.py", "warm_run.py", "warm_zeo.py", "warm_line.py", "warm_rehearsal.py")
FILES = (TEMPLATE, *PARTS)  # copied for the jobs
REQUESTS, STARTED, READY = "requests", "started", "ready"
COLD, BEGUN = "cold", "begun"

# In the job, before runs are started. Without a place for its files, all runs are cold.
#
# The function is executed by the shell of launch.sh. The first call starts the template, and is
# itself cold. Later ones write a request, and wait for the answers. The shell that waits stands for
# the run: if it is killed, the template ends the run. If the template dies, its runs die with it;
# those that it had not begun are started cold. (Bash exports `1<>` as `<>`.)
BEGIN = rf"""    if [ -n "$_modules" ] && MOTOKO_WARM=$(mktemp -d); then
        trap 'rm -rf "$MOTOKO_WARM"' EXIT
        mkfifo "$MOTOKO_WARM/{REQUESTS}"
        export MOTOKO_WARM MOTOKO_WARM_OF="$$ $_packs/{TEMPLATE}" MOTOKO_WARM_MODULES=$_modules
        python() {{
            local _place=$MOTOKO_WARM _me=$BASHPID _python= _answer= _pipe= _out= _err=
            local _of= _line= _begun=
            _python=$(type -P python) || _place=
            case ${{1-}} in doIt.py | ./doIt.py) ;; *) _place= ;; esac
            if [ -z "$_place" ]; then
                command python "$@"
                return
            fi
            exec {{_out}}>&1 {{_err}}>&2
            if mkdir "$_place/{STARTED}"; then
                (exec {{_out}}>&- {{_err}}>&- && cd / && exec env -u MOTOKO_PACKED \
                    "$_python" "${{MOTOKO_WARM_OF#* }}" "$_place" "${{MOTOKO_WARM_OF%% *}}" \
                    "$_python" "$MOTOKO_WARM_MODULES") < /dev/null > /dev/null 2>&1 &
            elif read -r _of < "$_place/{READY}" && mkfifo "$_place/$_me.code"; then
                exec {{_answer}}<> "$_place/$_me.code"
                {{ printf '%s\0' "$_out" "$_err" "$_python" "$PWD" "$@" '' && env -0; }} \
                    > "$_place/$_me.request"
                exec {{_pipe}}<> "$_place/{REQUESTS}"
                printf '%s\n' "$_me" >&"$_pipe"
                exec {{_pipe}}>&-
                while :; do
                    if ! read -r -t 1 -u "$_answer" _line; then
                        kill -0 "$_of" 2> /dev/null && continue
                        [ -n "$_begun" ] && _line=137 || _line={COLD}
                    fi
                    case $_line in {BEGUN}) _begun=yes ;; *) break ;; esac
                done
                exec {{_answer}}>&-
                rm -f "$_place/$_me.code" "$_place/$_me.request"
                [ "$_line" = {COLD} ] || return "$_line"
            fi 2> /dev/null
            exec {{_out}}>&- {{_err}}>&-
            command python "$@"
        }}
        export -f python
    fi
"""
# In the script of a run: the processor time of a process that it has not started itself.
USED = """\
{ [ -n "${MOTOKO_WARM-}" ] && read -r _each < "$MOTOKO_WARM/$_run.ticks" \\
    && _ticks=$((${_ticks:-0} + _each)); } 2> /dev/null
"""


def line(preload: Sequence[str], imports: Sequence[str]) -> str:
    """The line of a pack's file: the modules that its template loads."""
    return f"{WARM} {json.dumps({'preload': list(preload), 'imports': list(imports)})}\n"
