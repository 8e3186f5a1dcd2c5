"""What a cgroup can be given, asked of the cgroup itself; and where it cannot, why, and the line that would change it.

Existence at the root proves nothing: v1's root has the files and refuses writes, v2's root has none
(kernel/sched/core.c, CFTYPE_NOT_ON_ROOT).
"""

from __future__ import annotations

from typing import NamedTuple

from cputune.core.errors import Unsupported, WrongState
from cputune.core.knobs import BANDWIDTH, KNOB
from cputune.core.model import CpuTune
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups


class Support(NamedTuple):
    """Which groups of knobs a cgroup has."""

    weight: bool
    bandwidth: bool
    burst: bool
    idle: bool


def support(state: CpuTune) -> Support:
    """Read off a state: what has no file is not supported."""
    return Support(
        weight=state.shares is not None or state.weight is not None,
        bandwidth=state.quota is not None,
        burst=state.burst is not None,
        idle=state.idle is not None,
    )


def is_root(cgroups: Cgroups, cgroup: str) -> bool:
    """Whether this is the root of the whole hierarchy, which no kernel lets anybody limit."""
    return cgroups.hierarchy.root == "/" and cgroup.rstrip("/") == ""


def require(cgroups: Cgroups, cgroup: str, state: CpuTune, keys: frozenset[str], hinted: str) -> None:
    """Raise Unsupported where `cgroup` has not got one of `keys`; WrongState where it is not there at all."""
    if not keys:
        return
    if is_root(cgroups, cgroup):
        raise Unsupported(
            f"{hinted} is the root cgroup, which has no CPU limit and no weight", "choose one below it: cputune status"
        )
    have = support(state)
    if not have.weight:
        raise _controller_missing(cgroups, cgroup, hinted)
    if not have.bandwidth and keys & set(BANDWIDTH):
        raise Unsupported(
            f"this kernel has no CFS bandwidth control: {cgroups.directory(cgroup)} has {cgroups.backend.WEIGHT_FILE} "
            f"but no {cgroups.backend.LIMIT_FILE}",
            "use --shares or --weight, or a kernel built with CONFIG_CFS_BANDWIDTH=y",
        )
    for key, file, since, there in (
        ("burst", cgroups.backend.BURST_FILE, "5.14", have.burst),
        ("idle", cgroups.backend.IDLE_FILE, "5.15", have.idle),
    ):
        if key in keys and not there:
            raise Unsupported(
                f"{KNOB[key].option}: {cgroups.directory(cgroup)} has no {file}",
                f"Linux has it since {since}; see: uname -r",
            )


def _controller_missing(cgroups: Cgroups, cgroup: str, hinted: str) -> Unsupported | WrongState:
    directory = cgroups.directory(cgroup)
    from cputune.host.systemd import enables, unit_of

    unit = unit_of(cgroup)
    if unit and cgroups.unit_exists(cgroup) and not enables(unit, cgroups.hierarchy.version):
        return Unsupported(
            f"the cpu controller is not available for {cgroup}: cgroup v1 delegates none to users' managers",
            f"limit all of the user's units: cputune set user-{unit.uid}.slice --cpus 1 --live",
        )
    if unit and cgroups.unit_exists(cgroup):
        return Unsupported(
            f"the cpu controller is not enabled for {cgroup}",
            f"systemd enables it with the first limit: cputune set {hinted} --shares 1024 --live",
        )
    if not cgroups.host.is_dir(directory):
        return WrongState(f"cgroup {cgroup} went away", "list what runs: cputune status")
    if cgroups.hierarchy.version == 1:
        return Unsupported(f"{directory} has no {cgroups.backend.WEIGHT_FILE}", f"ls {directory}")
    return Unsupported(f"the cpu controller is not enabled for {cgroup}", enabling_hint(cgroups, cgroup))


def enabling_hint(cgroups: Cgroups, cgroup: str) -> str:
    """The line that enables the cpu controller down to `cgroup`, and what stands in its way."""
    files = [
        f"{cgroups.host.real(cgroups.directory(parent))}/cgroup.subtree_control"
        for parent in disabled_above(cgroups, cgroup)
    ]
    # tee writes its files one after the other, so the levels are enabled from the top down.
    line = (
        f"echo +cpu | tee {' '.join(files)}"
        if len(files) > 1
        else f"echo +cpu >{files[0]}"
        if files
        else "cputune status"
    )
    tasks = realtime_tasks(cgroups)
    if tasks:
        names = ", ".join(tasks)
        line += f"  # if it says Invalid argument: real-time tasks outside the root cgroup stand in the way: {names}"
    return line


def disabled_above(cgroups: Cgroups, cgroup: str) -> list[str]:
    """The ancestors whose subtree_control lacks cpu, topmost first (v2)."""
    chain = [cgroups.hierarchy.root, *reversed(cgroups.ancestors(cgroup))]
    return [parent for parent in chain if "cpu" not in _controllers(cgroups, parent)]


def _controllers(cgroups: Cgroups, cgroup: str) -> list[str]:
    return (cgroups.host.read_or_none(f"{cgroups.directory(cgroup)}/cgroup.subtree_control") or "").split()


def realtime_tasks(cgroups: Cgroups) -> list[str]:
    """Processes with a real-time policy outside the root cgroup, as "comm (pid)".

    With CONFIG_RT_GROUP_SCHED they make the kernel refuse +cpu with EINVAL (Documentation/admin-guide/cgroup-v2.rst).
    """
    found = []
    for pid in filter(str.isdigit, cgroups.host.names("/proc")):
        head, _, tail = (cgroups.host.read_or_none(f"/proc/{pid}/stat") or "").rpartition(")")
        fields = tail.split()
        # Field 41 of proc(5)'s list; counted from field 3, the first one behind the name. 1 = FIFO, 2 = RR.
        policy = parse_integer(fields[38]) if len(fields) > 38 else None
        if policy in (1, 2) and (cgroups.host.read_or_none(f"/proc/{pid}/cgroup") or "").find("0::/\n") < 0:
            found.append(f"{head.partition('(')[2]} ({pid})")
    return found
