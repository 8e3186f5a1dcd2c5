"""The state that runc (state.json) and crun (status) keep of each container, in a directory by its id."""

from __future__ import annotations

from typing import NamedTuple

from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.json_files import Unreadable, integer_at, load_object, string_at, value_at


class State(NamedTuple):
    """What is of use here."""

    pid: int
    cgroup: str | None
    """As in /proc/PID/cgroup; None where the record does not tell."""
    bundle: str
    """The directory of its configuration; empty where the record does not tell."""
    started: int
    """When its process did, in clock ticks since boot (proc(5), field 22 of stat); 0 where the record does not tell."""


def read_state(cgroups: Cgroups, program: str, directory: str, owner: int = 0) -> State | None:
    """Return the state of a running container of "runc" or "crun", which is in its directory, of this owner's.

    None where there is none, its process is gone, or it is being written right now.
    """
    try:
        state = _crun(cgroups, directory, owner) if program == "crun" else _runc(cgroups, directory, owner)
    except Unreadable:
        return None
    return state if state and state.pid > 0 and _is_alive(cgroups, state) else None


def _is_alive(cgroups: Cgroups, state: State) -> bool:
    """Whether the process exists, and is the same one: pids are used again."""
    fields = (cgroups.host.read_or_none(f"/proc/{state.pid}/stat") or "").rpartition(")")[2].split()
    return len(fields) > 19 and (not state.started or fields[19] == str(state.started))


def _crun(cgroups: Cgroups, directory: str, owner: int) -> State | None:
    record = load_object(cgroups, f"{directory}/status", owner)
    if record is None:
        return None
    cgroup, scope = string_at(record, "cgroup-path"), string_at(record, "scope")
    if scope and f"/{scope}/" in cgroup:
        cgroup = cgroup.partition(f"/{scope}/")[0] + f"/{scope}"  # the level below it is found by the process
    started = integer_at(record, "process-start-time")
    return State(integer_at(record, "pid"), cgroup or None, string_at(record, "bundle"), started)


def _runc(cgroups: Cgroups, directory: str, owner: int) -> State | None:
    record = load_object(cgroups, f"{directory}/state.json", owner)
    if record is None:
        return None
    hierarchy = cgroups.hierarchy
    path = string_at(record, "cgroup_paths", "cpu" if hierarchy.version == 1 else "")
    cgroup = None
    if f"{path}/".startswith(f"{hierarchy.mount}/"):
        cgroup = hierarchy.root.rstrip("/") + path[len(hierarchy.mount) :]
    labels = value_at(record, "config", "labels")
    words = [label for label in labels if isinstance(label, str)] if isinstance(labels, list) else []
    bundle = next((word.removeprefix("bundle=") for word in words if word.startswith("bundle=")), "")
    return State(integer_at(record, "init_process_pid"), cgroup, bundle, integer_at(record, "init_process_start"))
