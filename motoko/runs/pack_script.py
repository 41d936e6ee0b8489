"""The part of a job's script that executes a pack: several runs, each by the script itself.

Each run of a pack is executed by another process of the same script, as if it were a job of its
own: with its own claim, output and exit record. This part decides which run is next, passes on
signals, and ends single runs.
"""

from __future__ import annotations

from motoko.batch.batch_system import ShellVariables
from motoko.runs import packed_warm
from motoko.runs.packs import END, FOLDER
from motoko.runs.paths import CLAIM, CLOSED, EXIT

# All processes of a run in a pack have this variable: the pack's name, and the run's number.
MARK = "MOTOKO_PACKED"
# How often a job looks whether it has to end a run, and how long the run's processes have to end by
# themselves, in seconds.
LOOK_S = 3
GRACE_S = 6

# The arguments are those of an array, and then how many runs are executed at once. The attempt is
# not used: that of each run is in the name under which it waited.
#
# After any signal the job starts no more runs: it will soon be ended, or was asked to save what it
# has. If the scheduler starts the job again, runs that have ended are left out; those that have
# not, or only because the job was ended, are started as their next attempt (whose number they find
# themselves).
#
# A run is ended by ending all processes that have its mark in their environment, wherever in the
# process tree they are. They are not in a process group of their own: some sites' Slurm would not
# end them with their job.
_SCRIPT = r"""if [ -n "${{10-}}" ]; then
    _prefix=$1 _attempt= _out=$3 _err=$4 _spool=$5 _own=$8 _at_once=${{10}}
    _name=$7$(($6 + {element}))$9 _job={job} _restarts={restarts}
    _packs=${{_prefix%/*}}/{folder}
    _left=() _next=0 _told= _each= _rest= _at= _folder= _ticker= _record= _modules=
    declare -A _begun=() _asked=() _unwanted=() _attempts=()
    # If the file is gone, nothing is left to be done for any run.
    {{ while read -r _each _rest; do
        case $_each in
            {end}) _unwanted[$_rest]=yes ;;
            {warm}) _modules=$_rest ;;
            *) _rest=${{_rest##*.}} && _left+=("$_each") && _attempts[$_each]=${{_rest%%-*}} ;;
        esac
    done; }} < "$_packs/$_name" || exit 121
    _pass_on() {{
        _told=$1
        [ "${{#_begun[@]}}" -gt 0 ] && kill -"$1" "${{!_begun[@]}}" 2> /dev/null
    }}
    for _each in HUP INT TERM USR1 USR2; do
        trap "_pass_on $_each" $_each
    done
    # An attempt's record of its end, which may be in its claim; false if there is none.
    _read_record() {{
        _record=
        read -r _record < "$_folder/{exit}$_at.json" || read -r _record < "$_folder/{claim}$_at"
        [ "${{_record:0:1}}" = "{{" ]
    }} 2> /dev/null
    _has_ended() {{
        _read_record && [[ -n ${{_unwanted[$_each]-}} || $_record = *'"signal": ""'* ]]
    }}
    _start() {{
        while [ "$_next" -lt "${{#_left[@]}}" ]; do
            _each=${{_left[_next]}}
            _attempt=${{_attempts[$_each]}} _at=$_attempt
            _next=$((_next + 1))
            _folder=$_prefix$_each/$_own
            [ -e "$_folder/{closed}$_name" ] && continue
            if [ -e "$_folder/{claim}$_at" ]; then
                [ "${{_restarts:-0}}" -gt 0 ] || continue
                while [ -e "$_folder/{claim}$((_at + 1))" ]; do _at=$((_at + 1)); done
                _has_ended && continue
                _at=$((_at + 1))
            fi
            {mark}=$_name.$_each {directory}/bin/bash -p "$0" "$_prefix$_each" "$_attempt" \
                "${{_out:+$_out$_each}}" "${{_err:+$_err$_each}}" "$_spool" "$_each" "$_name" \
                "$_own" < /dev/null &
            _begun[$!]=$_each/$_at
            [ -n "$_told" ] && kill -"$_told" $! 2> /dev/null
            return 0
        done
        return 1
    }}
    _kill() {{
        local _file= _pids=$2
        for _file in $(grep -lzxF -- "{mark}=$_name.${{_begun[$2]%/*}}" /proc/[0-9]*/environ); do
            _file=${{_file#/proc/}}
            _pids="$_pids ${{_file%/environ}}"
        done
        kill -"$1" $_pids
    }} 2> /dev/null
    _end_some() {{
        local _pid= _line=
        while read -r _line _each _rest; do
            [ "$_line" = {end} ] || continue
            for _pid in "${{!_begun[@]}}"; do
                if [ "${{_begun[$_pid]%/*}}" != "$_each" ]; then
                    continue
                elif [ -z "${{_asked[$_pid]-}}" ]; then
                    _asked[$_pid]=$SECONDS
                    _kill TERM "$_pid"
                elif [ $((SECONDS - _asked[$_pid])) -ge {grace} ]; then
                    _kill KILL "$_pid"
                fi
            done
        done < "$_packs/$_name"
    }} 2> /dev/null
    # The script of a run is over. If it was killed, it could not record the run's end.
    _over() {{
        local _line= _of=
        _each=${{_begun[$1]%/*}} _at=${{_begun[$1]#*/}}
        unset "_begun[$1]" "_asked[$1]"
        _folder=$_prefix$_each/$_own
        read -r _line _of _rest < "$_folder/{claim}$_at" || return
        [ -z "$_told" ] && [ "$_of" = "$_job" ] && ! _read_record || return
        _record='{{"attempt": '$_at', "code": 137, "signal": "", "job": "'$_job'"'
        _record=$_record', "problem": "its script was killed before it could record the exit"}}'
        _of=$_folder/{exit}$_at.json
        {{ printf '%s\n' "$_record" > "$_of.new" && mv -f "$_of.new" "$_of"; }} \
            || printf '%s\n' "$_record" 1<> "$_folder/{claim}$_at"
        true > "$_spool/$_each.$_at.ended"
    }} 2> /dev/null
{begin_warm}    while :; do
        while [ -z "$_told" ] && [ "${{#_begun[@]}}" -lt "$_at_once" ] && _start; do :; done
        [ "${{#_begun[@]}}" -gt 0 ] || break
        if ! kill -0 "$_ticker" 2> /dev/null; then
            [ -n "$_ticker" ] && _end_some
            sleep {look} &
            _ticker=$!
        fi
        wait -n
        for _each in "${{!_begun[@]}}"; do
            kill -0 "$_each" 2> /dev/null || _over "$_each"
        done
    done
    kill "$_ticker" 2> /dev/null
    {output}exit 0
fi
"""


def lines(variables: ShellVariables) -> str:
    """The lines, for a batch system whose jobs have such variables."""
    directory = f'{variables.directory}="$_prefix$_each" ' if variables.directory else ""
    output = variables.output
    return _SCRIPT.format(
        element=variables.element or "0",
        job=variables.job,
        restarts=variables.restarts,
        folder=FOLDER,
        end=END,
        exit=EXIT,
        claim=CLAIM,
        closed=CLOSED,
        mark=MARK,
        directory=directory,
        grace=GRACE_S,
        look=LOOK_S,
        warm=packed_warm.WARM,
        begin_warm=packed_warm.BEGIN,
        # The scheduler's own messages stay; mostly there are none.
        output=f'[ -s "$_packs/{output}" ] || rm -f "$_packs/{output}"\n    ' if output else "",
    )
