"""The table of names that parameters of a study cannot have, and why. Pure logic.

BlackDynamite's jobs and runs have other attributes besides parameters: such an attribute hides a
parameter of the same name, and a script silently gets the wrong value. What BlackDynamite and
Motoko write on runs themselves cannot be a parameter either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

# What BlackDynamite and Motoko 0.1.4 keep on a run, under plain names.
OF_BLACKDYNAMITE = frozenset(
    [
        *("id", "job_id", "run_name", "machine_name", "nproc", "state", "exec", "run_path"),
        *("start_time", "last_step", "last_step_time"),
        *("blackdynamite_version", "python_requirements"),
        *("workflow", "event_name", "dependencies"),
    ]
)
# Motoko's own entries, by their documented names.
OF_MOTOKO = frozenset(
    [
        *("attempt", "interruptions", "retry_at", "ended_state", "attempt_ended", "failure_reason"),
        *("last_failure", "exit_code"),
        *("cancelled_by", "batch_system", "batch_name", "batch_attempt", "batch_job_id"),
        *("batch_state", "batch_nodes", "files_checksum", "files_wanted", "created_nproc"),
    ]
)
# Names that a study may declare, and `run_params` may give, nevertheless: `finish` is a policy.
GIVEN_BY_USERS = frozenset({"nproc", "machine_name", "event_name", "finish"})

_OF_ALL_OBJECTS = frozenset(
    [
        *("base", "copy", "entries", "items", "key_string", "keys", "operators", "optional"),
        *("types", "update", "get_keys", "get_params"),
        *("createTableRequest", "evalFunctorEntries", "getMatchedObjectList", "matchConstraint"),
        *("setEntries", "setFields"),
    ]
)
# Attributes of BlackDynamite's jobs and runs.
ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "job": _OF_ALL_OBJECTS | {"runs", "table_name"},
    "run": _OF_ALL_OBJECTS
    | {"configfiles", "quantities", "delete", "fail", "finish", "start", "create_blob"}
    | {"addConfigFiles", "annotateHostName", "attachToJob", "deleteData", "getConfigFile"}
    | {"getConfigFiles", "getExecFile", "getFile", "getFullFileName", "getJob", "getLastStep"}
    | {"getPythonRequirements", "getQuantities", "getQuantity", "getQuantityArrayFromBlob"}
    | {"getQuantityBlob", "getScalarQuantities", "getScalarQuantity", "getUpdatedConfigFile"}
    | {"getVectorQuantities", "getVectorQuantity", "listFiles", "listQuantities", "pushQuantity"}
    | {"pushScalarQuantities", "pushScalarQuantity", "pushVectorQuantity"}
    | {"replaceBlackDynamiteVariables", "saveQuantityArrayToBlob", "saveStepTimeStamp"}
    | {"serialize_dict", "setContextRequirements", "setExecFile", "setLaunchState"},
}
_ARGUMENTS = frozenset({"self", "run_params", "commit"})
_PLACEHOLDERS = frozenset({"dbhost", "run_id", "study"})
# In BlackDynamite `job.key_x` is the same as `job.x`.
_KEY = "key_"


def why_reserved(kind: str, name: str, declared: Iterable[str] = ()) -> str | None:
    """Why a ``"job"`` or ``"run"`` cannot have a parameter of that name; ``None`` if it can.

    Args:
        kind: ``"job"`` or ``"run"``.
        name: as it is written; names that differ only in case are the same.
        declared: the names of all parameters of that kind.
    """
    if not name or name != name.strip() or not name.isprintable():
        return "it is empty, or has blanks around it or line breaks in it"
    lower = name.lower()
    if lower == "id":
        return f"it is the number of the {kind}"
    if kind == "run" and lower in GIVEN_BY_USERS:
        return None
    if name in ATTRIBUTES[kind] or lower in ATTRIBUTES[kind]:
        return f"{kind}.{name} is something of BlackDynamite's own"
    if kind == "run" and lower in OF_MOTOKO:
        return "Motoko writes it on runs"
    if kind == "run" and lower in OF_BLACKDYNAMITE:
        return "BlackDynamite and Motoko write it on runs"
    if kind == "job" and lower == "state":
        return "it is the state of runs, in constraints"
    if kind == "job" and lower in _ARGUMENTS:
        return "createTask() has an argument of that name"
    if lower in _PLACEHOLDERS:
        return f"__BLACKDYNAMITE__{lower}__ is something else in files"
    if lower.startswith(("_p_", "_v_", "__")) or lower == "_flag_debug":
        return "such names are kept for the database"
    return _hidden_key(kind, lower, declared)


def _hidden_key(kind: str, lower: str, declared: Iterable[str]) -> str | None:
    known: Collection[str] = {"id", *(name.lower() for name in declared)}
    if kind == "run":
        known = {*known, *OF_BLACKDYNAMITE}
    other = lower.removeprefix(_KEY)
    if lower.startswith(_KEY) and other in known:
        return f"{kind}.{lower} is {kind}.{other}, in BlackDynamite"
    return None
