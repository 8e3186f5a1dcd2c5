"""The state that runc (state.json) and crun (status) keep of each container, in a directory by its id."""

from __future__ import annotations

from typing import NamedTuple

from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes.records import Unreadable, field, load, number, text


class State(NamedTuple):
    """What is of use here."""

    program: str
    """crun or runc."""
    pid: int
    cgroup: str | None
    """As in /proc/PID/cgroup; None where the record does not tell."""
    bundle: str = ""
    started: int = 0
    """When its process did, in clock ticks since boot (proc(5), field 22 of stat); 0 where the record does not tell."""
    sure: bool = True
    """Whether the runtime's own record told, which goes with the container."""


def read_state(cgroups: Cgroups, program: str, directory: str) -> State | None:
    """The state in a container's directory; None where there is none, or its process is gone.

    A record that is being written right now counts as none: raises nothing.
    """
    try:
        state = _crun(cgroups, directory) if program == "crun" else _runc(cgroups, directory)
    except Unreadable:
        return None
    return state if state and state.pid > 0 and _is_alive(cgroups, state) else None


def _is_alive(cgroups: Cgroups, state: State) -> bool:
    """Whether the process is there, and still the same one: numbers of processes are used again."""
    fields = (cgroups.host.read_or_none(f"/proc/{state.pid}/stat") or "").rpartition(")")[2].split()
    return len(fields) > 19 and (not state.started or fields[19] == str(state.started))


def _crun(cgroups: Cgroups, directory: str) -> State | None:
    record = load(cgroups, f"{directory}/status")
    if record is None:
        return None
    cgroup, scope = text(record, "cgroup-path"), text(record, "scope")
    if scope and f"/{scope}/" in cgroup:
        cgroup = cgroup.partition(f"/{scope}/")[0] + f"/{scope}"  # the level below it is found by the process
    return State(
        "crun", number(record, "pid"), cgroup or None, text(record, "bundle"), number(record, "process-start-time")
    )


def _runc(cgroups: Cgroups, directory: str) -> State | None:
    record = load(cgroups, f"{directory}/state.json")
    if record is None:
        return None
    hierarchy = cgroups.hierarchy
    path = text(record, "cgroup_paths", "cpu" if hierarchy.version == 1 else "")
    cgroup = None
    if f"{path}/".startswith(f"{hierarchy.mount}/"):
        cgroup = hierarchy.root.rstrip("/") + path[len(hierarchy.mount) :]
    labels = field(record, "config", "labels")
    bundles = [label[7:] for label in labels or () if isinstance(label, str) and label.startswith("bundle=")]
    return State(
        "runc",
        number(record, "init_process_pid"),
        cgroup,
        bundles[0] if bundles else "",
        number(record, "init_process_start"),
    )
