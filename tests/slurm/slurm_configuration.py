"""What a private Slurm is configured with."""

from __future__ import annotations

COUNTED = ("sbatch", "squeue", "scancel", "scontrol", "sacct", "sinfo")


# Notes what was called and when, and becomes the true one. In bash: sh may drop variables that
# hold bash's exported functions.
COUNTER = """\
#!/bin/bash
[ -z "$SCHEDULER_CALLS" ] || printf '%s %s %s\\n' "$(date +%s.%N)" {name} "$*" >> "$SCHEDULER_CALLS"
exec {true} "$@"
"""


CONF = """\
ClusterName=motoko
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={top}/munge/sock
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={top}/state
SlurmdSpoolDir={top}/spool/%n
SlurmctldPidFile={top}/state/slurmctld.pid
SlurmdPidFile={top}/spool/slurmd-%n.pid
SlurmctldLogFile={top}/log/slurmctld.log
SlurmdLogFile={top}/log/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
ReturnToService=2
MailProg=/bin/true
EnforcePartLimits=ALL
MpiDefault=none
SwitchType=switch/none
MessageTimeout=5
BatchStartTimeout=2
SlurmdTimeout=6
SlurmctldTimeout=10
InactiveLimit=0
KillWait=10
MinJobAge={min_job_age}
MaxJobCount=10000
SlurmdParameters=config_overrides
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 \
Port=[{first}-{last}] CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
{more}
"""


NO_ACCOUNTS = """\
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
"""
