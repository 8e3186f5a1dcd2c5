"""Which knobs a cgroup has, read from the cgroup itself; and why it lacks one, with a command that would change that.

Existence at the root proves nothing: v1's root has the files and refuses writes, v2's root has none
(kernel/sched/core.c, CFTYPE_NOT_ON_ROOT).
"""

from __future__ import annotations

from typing import NamedTuple

from cputune.core.errors import Unsupported, WrongState
from cputune.core.knobs import BANDWIDTH, KNOBS, QUOTA_AND_PERIOD, SHARES_AND_WEIGHT, Knob
from cputune.core.model import CpuTune
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups


class Support(NamedTuple):
    """Which knobs a cgroup has."""

    keys: frozenset[str]

    @property
    def weight(self) -> bool:
        """Whether it has a weight: every cgroup that the cpu controller is enabled for has one."""
        return not self.keys.isdisjoint(SHARES_AND_WEIGHT)

    @property
    def bandwidth(self) -> bool:
        """Whether it can be limited."""
        return self.keys >= QUOTA_AND_PERIOD


def support(state: CpuTune) -> Support:
    """Return the knobs that have a value in this state: a knob without a file is not supported."""
    return Support(frozenset(state.named()))


def is_root(cgroups: Cgroups, cgroup: str) -> bool:
    """Return whether this is the root of the whole hierarchy, which no kernel lets anybody limit."""
    return cgroups.hierarchy.root == "/" and cgroup.rstrip("/") == ""


def require(cgroups: Cgroups, cgroup: str, state: CpuTune, keys: frozenset[str], hinted: str) -> None:
    """Raise Unsupported if `cgroup` lacks one of the knobs `keys`, WrongState if there is no such cgroup."""
    if not keys:
        return
    if is_root(cgroups, cgroup):
        raise Unsupported(
            f"{hinted} is the root cgroup, which has no CPU limit and no weight", "choose one below it: cputune status"
        )
    have = support(state)
    if not have.weight:
        raise _controller_missing(cgroups, cgroup, hinted)
    for knob in KNOBS:
        if knob.key in keys and not _has(have, knob):
            raise _lacks(cgroups, cgroup, knob, have)


def _has(have: Support, knob: Knob) -> bool:
    """Return whether a knob or its other unit is there. Knobs of the bandwidth count only together with a quota."""
    if knob.key in BANDWIDTH and not have.bandwidth:
        return False
    return not have.keys.isdisjoint((knob.key, knob.alternative))


def _lacks(cgroups: Cgroups, cgroup: str, knob: Knob, have: Support) -> Unsupported:
    """Return the error for a knob that the kernel lacks."""
    directory = cgroups.directory(cgroup)
    if knob.key in BANDWIDTH and not have.bandwidth:
        weight, limit = _file(cgroups, cgroups.backend.weight_key), _file(cgroups, "quota")
        return Unsupported(
            f"this kernel has no CFS bandwidth control: {directory} has {weight} but no {limit}",
            "use --shares or --weight, or a kernel built with CONFIG_CFS_BANDWIDTH=y",
        )
    return Unsupported(
        f"{knob.option}: {directory} has no {_file(cgroups, knob.key)}",
        f"Linux has it since {knob.since}; see: uname -r",
    )


def _file(cgroups: Cgroups, key: str) -> str:
    file = cgroups.backend.file(key)
    return file.name if file else f"file for that (cgroup v{cgroups.backend.version})"


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
        return Unsupported(f"{directory} has no {_file(cgroups, cgroups.backend.weight_key)}", f"ls {directory}")
    return Unsupported(f"the cpu controller is not enabled for {cgroup}", enabling_hint(cgroups, cgroup))


def enabling_hint(cgroups: Cgroups, cgroup: str) -> str:
    """Return the shell command that enables the cpu controller down to `cgroup`, and name what may prevent that."""
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
    """Return the ancestors whose cgroup.subtree_control lacks cpu, topmost first (v2)."""
    chain = [cgroups.hierarchy.root, *reversed(cgroups.ancestors(cgroup))]
    return [parent for parent in chain if "cpu" not in _controllers(cgroups, parent)]


def _controllers(cgroups: Cgroups, cgroup: str) -> list[str]:
    return (cgroups.host.read_or_none(f"{cgroups.directory(cgroup)}/cgroup.subtree_control") or "").split()


def realtime_tasks(cgroups: Cgroups) -> list[str]:
    """Return the processes with a real-time policy outside the root cgroup, as "comm (pid)".

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
