"""The lines of a job's script that start relays, which bring the workflow's sockets to its nodes.

A relay ends when its standard input is closed, which only the script holds open: so it ends
whatever ends the job. It does not end when the job is asked to end, since launch.sh may still have
something to save.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from motoko.batch.batch_system import ShellVariables
from motoko.channel.endpoint import FILE_NAME
from motoko.channel.relaying import PROGRAM

# The exit code of a job whose relays have not come up.
UNRELAYED = 119
# How long a busy node may take to start a relay. A relay that waits for the study's server says so
# more often than that.
START_S = 30

# On the head node itself, and if the workflow does not listen for other hosts, no relay is started.
# Each node has a tender, which replaces a relay that is killed.
_BEGIN = r"""_tend() {{
    trap '' HUP INT TERM USR1 USR2
    if [ ! -x {python} ]; then
        read -r _host < /proc/sys/kernel/hostname
        printf 'failed "%s: the Python of this workflow is not there: %s"\n' "$_host" {shown}
        return
    fi
    while ! {python} -I -S {program} {channel} "$@"; do
        read -r -t 0.1
        [ $? -gt 128 ] || break
    done
}}
_tend_all() {{
    trap '' HUP INT TERM USR1 USR2
    if [ "$_others" -gt 0 ]; then
        {on_other_nodes} /bin/bash -pc "$(declare -f _tend); _tend \"\$@\"" - "$@" <&0 &
    fi
    _tend "$@"
    wait
    read -r # wait: bash drops the unread output of a coprocess when that ends
}}
unset MOTOKO_RELAY
_tender= _held= _others=0
if [ -e {record} ]; then
    read -r _boot < /proc/sys/kernel/random/boot_id
    case $(< {record}) in
    *"$_boot"*) ;;
    *)
        {others}
        coproc _relay {{
            _tend_all --token="${{_job:-$_name}}${{MOTOKO_PACKED:+.$_run}}" --job="$_job" \
                --run="$_run" --study="${{_spool##*/}}" --attempt="$_attempt" \
                --log="$PWD/$_own/relay.log" 2>&1
        }}
        _tender=$_relay_PID _held=${{_relay[1]}} _says=${{_relay[0]}} _left=$((_others + 1)) _last=
        _until=$((SECONDS + {patience}))
        while [ "$_left" -gt 0 ] && [ -z "$_problem" ]; do
            _word= _rest=
            _pause=$((_until - SECONDS))
            if [ "$_pause" -le 0 ] || ! read -r -t "$_pause" _word _rest <&"$_says"; then
                _last=${{_last//[^[:print:]]/ }}
                _last=${{_last//[\"\\]/ }}
                _problem="$_left of $((_others + 1)) nodes have no relay to the head node"
                _problem='"'$_problem${{_last:+: $_last}}'"'
                break
            fi
            case $_word in
            ready) export MOTOKO_RELAY=$_rest; _left=$((_left - 1)) ;;
            head) _left=$((_left - 1)) ;;
            failed) _problem=$_rest ;;
            waiting) _last=$_rest _until=$((SECONDS + {patience})) ;;
            *) _last="$_word $_rest" ;; # an error message of Python or the scheduler
            esac
        done
        ;;
    esac
fi
"""

END = """\
[ -n "$_tender" ] && { eval "exec $_held>&-"; wait "$_tender"; }
"""


def begin(channel: Path, variables: ShellVariables) -> str:
    """The lines before the start of launch.sh. They set ``_problem`` if it must not start: JSON."""
    python = sys.executable
    can_reach = bool(variables.on_other_nodes)
    return _BEGIN.format(
        python=shlex.quote(python),
        shown=shlex.quote(json.dumps(python)[1:-1]),
        program=shlex.quote(str(PROGRAM)),
        channel=shlex.quote(str(channel)),
        record=shlex.quote(str(channel / FILE_NAME)),
        others=f"_others={variables.other_nodes}" if can_reach else ":",
        on_other_nodes=variables.on_other_nodes,
        patience=START_S,
    )
