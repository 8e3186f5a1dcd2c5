"""What a plan starts from: the state, unit and limits of cgroups, each asked for once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cputune.host.cgroup.bandwidth import limit_of
from cputune.host.cgroup.cgroups import Limits
from cputune.host.cgroup.support import support
from cputune.host.systemd import Unit, enables, unit_of

if TYPE_CHECKING:
    from cputune.core.model import CpuTune
    from cputune.host.systemd import Properties
    from cputune.transaction.context import Context


class Snapshot:
    """What the kernel and systemd have for cgroups, as of the first time that each was asked.

    Without `tell`, no cgroup counts as a unit's.
    """

    def __init__(self, context: Context, *, tell: bool = True) -> None:
        self.context = context
        self.cgroups = context.cgroups
        self.limits = Limits(self.cgroups)
        """What every cgroup has now."""
        self._has_units = tell and context.systemd.booted()
        self._states: dict[str, CpuTune] = {}
        self._held: dict[str, Properties] = {}
        self._grains: dict[int | None, int] = {}

    @property
    def version(self) -> int:
        """The version of the cpu controller. Raises Unsupported where there is none, as only live changes need one."""
        return self.cgroups.hierarchy.version

    def read(self, cgroup: str) -> CpuTune:
        """What a cgroup has. Raises WrongState, NoPermission."""
        if cgroup not in self._states:
            self._states[cgroup] = state = self.cgroups.read_if_used(cgroup)
            self.limits[cgroup] = limit_of(cgroup, state)
        return self._states[cgroup]

    def is_to_be_enabled(self, cgroup: str) -> bool:
        """Whether systemd will enable the cpu controller for a cgroup that has none, when its unit gets a property."""
        unit = self.unit(cgroup)
        return unit is not None and enables(unit, self.version) and not support(self.read(cgroup)).weight

    def unit(self, cgroup: str) -> Unit | None:
        """The unit that owns a cgroup; None for none, and where systemd is not PID 1."""
        return unit_of(cgroup) if self._has_units else None

    def held(self, unit: Unit, cgroup: str) -> Properties:
        """All CPU properties that systemd holds for a unit; empty where the cgroup is not this unit's.

        Raises NoSuchDomain, Unreachable.
        """
        if cgroup not in self._held:
            from cputune.host.held import CPU_PROPERTIES

            self._held[cgroup] = self.context.systemd.get(unit, CPU_PROPERTIES[self.version], cgroup)
        return self._held[cgroup]

    def grain(self, unit: Unit) -> int:
        """To what the unit's manager truncates a quota, in microseconds per second. Raises as `held`."""
        if unit.uid not in self._grains:
            self._grains[unit.uid] = self.context.systemd.grain(unit)
        return self._grains[unit.uid]
