"""What a user should know of a planned limit: where it will not stay, or has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.host.systemd import rounding

if TYPE_CHECKING:
    from cputune.core.model import CpuTune
    from cputune.host.cgroup.bandwidth import Limit
    from cputune.host.cgroup.cgroups import Cgroups, Limits
    from cputune.host.systemd import Properties, Unit
    from cputune.planning.builder import PlanBuilder
    from cputune.planning.snapshot import Snapshot

_WHOLE_PERCENT = 10_000
"""In microseconds per second: every systemd keeps whole percents exactly, so that it need not be asked."""


def note_drop_ins(cgroups: Cgroups, builder: PlanBuilder, unit: Unit, properties: Properties) -> None:
    """Note the drop-ins of `systemctl set-property` that override these runtime properties at the next reload."""
    from cputune.runtimes.native.units import hiding

    files = hiding(cgroups, unit, properties)
    if files:
        builder.note(
            f"systemd's next reload puts back what {', '.join(files)} says; "
            f"to change that too: cputune set {builder.domain.qualified} ... --live --config --native"
        )


def note_rounding(snapshot: Snapshot, builder: PlanBuilder, unit: Unit, goal: CpuTune) -> None:
    """Note that systemd will round the quota when it reads its own drop-in again."""
    if not rounding(goal, _WHOLE_PERCENT):
        return
    if nearest := rounding(goal, snapshot.grain(unit)):
        builder.note(
            f"systemd keeps a quota as a rounded percentage: its next reload makes this one {nearest[0]}; "
            f"{nearest[0]} and {nearest[1]} would stay as they are"
        )


def note_ancestor(cgroups: Cgroups, builder: PlanBuilder, limit: Limit, reached: Limits) -> None:
    """Note an ancestor whose limit is lower; `reached` are the limits that there will be."""
    above = cgroups.tightest_limit(limit.cgroup, reached)
    if above and above.cpus < limit.cpus:
        builder.note(
            f"{limit.cpus:g} CPUs has no effect beyond {above.cpus:g}, the limit of its ancestor {above.cgroup}"
        )
