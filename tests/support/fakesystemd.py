"""A fake systemd on a fake kernel: it holds the CPU properties of units, and writes them as the real one does.

The rules are those of cgroup_context_apply() and cgroup_cpu_adjust_period() in systemd's src/core/cgroup.c, written
down here a second time, so that cputune's own idea of them is compared with something; tests/vm compares both with a
real one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from cputune.host.programs import Completed
from tests.support.fakekernel import SYSTEMD_TREE, FakeKernel

INFINITY = (1 << 64) - 1
NAMES = ("CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "CPUWeight", "CPUShares")


class FakeSystemd:
    """The system manager of a host, as `busctl` asks and tells it."""

    def __init__(self, host: FakeKernel) -> None:
        self.host = host
        self.held: dict[str, dict[str, int]] = {}
        """The properties of each unit."""
        self.drops = False
        """Whether a unit without any CPU property loses the cpu controller: where none of its siblings needs it."""
        self._cgroups: dict[str, str] = {}
        self._others: Callable[..., Completed] = host.run
        host.put_file("/run/systemd/system/.there", "")
        host.run = self.run  # type: ignore[method-assign]

    def start(self, unit: str, cgroup: str, held: dict[str, int] | None = None, *, controlled: bool = True) -> None:
        """Have a unit with a cgroup and these properties; `controlled`: with the cpu controller in any case."""
        self.held[unit] = {**dict.fromkeys(NAMES, INFINITY), **(held or {})}
        self._cgroups[unit] = cgroup
        if self.host.kernel.version == 1:
            os.makedirs(self.host.real(SYSTEMD_TREE + cgroup))
        elif not controlled:
            self.host.mkdir(self.host.mount + cgroup)
        if controlled:
            self._enable(cgroup)
        self._realize(unit)

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """Be busctl; other programs are left to the host."""
        if argv[0] != "busctl":
            return self._others(argv, user, timeout, text)
        if "get-property" in argv:
            return self._get(list(argv[argv.index("get-property") + 2 :]))
        words = list(argv[argv.index("SetUnitProperties") + 2 :])
        held = self.held[words[0]]
        for name, value in zip(words[3::3], words[5::3], strict=True):
            held[name] = int(value)
        self._realize(words[0])
        return Completed(0, "", "")

    def _get(self, words: list[str]) -> Completed:
        path, names = words[0], words[2:]
        if names == ["Version"]:
            return Completed(0, 's "257.13-1"\n', "")
        units = {"".join(c if c.isalnum() else f"_{ord(c):02x}" for c in unit): unit for unit in self.held}
        unit = units.get(path.rpartition("/")[2])
        if unit is None:
            return Completed(1, "", f"Failed to get property: Unit {path} not found.\n")
        lines = [
            f's "{self._cgroups[unit]}"\n' if name == "ControlGroup" else f"t {self.held[unit][name]}\n"
            for name in names
        ]
        return Completed(0, "".join(lines), "")

    def _realize(self, unit: str) -> None:
        """Write all that the unit has; where that is anything at all, it needs the controller, and else loses it."""
        cgroup, held = self._cgroups[unit], self.held[unit]
        if any(held[name] != INFINITY for name in NAMES if name != "CPUQuotaPeriodUSec"):
            self._enable(cgroup)
        elif self.drops:
            self._disable(cgroup)
        for name, text in self._texts(held):
            with suppress(OSError):  # systemd logs what the kernel refuses, and goes on
                type(self.host).write(self.host, f"{self.host.mount}{cgroup}/{name}", text)

    def _texts(self, held: dict[str, int]) -> list[tuple[str, str]]:
        quota, period, weight, shares = (held[name] for name in NAMES)
        limited = quota != INFINITY
        period = 100_000 if INFINITY in (quota, period) else period
        if limited:
            period = min(max(period, 1000, 1000 * 1_000_000 // quota), 1_000_000)
            quota = max(quota * period // 1_000_000, 1000)
        if self.host.kernel.version == 1:
            if weight != INFINITY:
                shares = min(max(weight * 1024 // 100, 2), 262144)
            return [
                ("cpu.shares", str(1024 if shares == INFINITY else shares)),
                ("cpu.cfs_period_us", str(period)),
                ("cpu.cfs_quota_us", str(quota) if limited else "-1"),
            ]
        if weight == INFINITY:
            weight = 100 if shares == INFINITY else min(max(shares * 100 // 1024, 1), 10000)
        found = [("cpu.idle", str(int(weight == 0)))]
        found += [("cpu.weight", str(weight))] if weight else []
        return [*found, ("cpu.max", f"{quota if limited else 'max'} {period}")]

    def _enable(self, cgroup: str) -> None:
        """The cpu controller for a cgroup: on v1 it is a directory in that hierarchy."""
        above = ""
        for part in cgroup.strip("/").split("/"):
            if self.host.kernel.version == 2:
                type(self.host).write(self.host, f"{self.host.mount}{above}/cgroup.subtree_control", "+cpu")
            above = f"{above}/{part}"
            if not self.host.is_dir(self.host.mount + above):
                self.host.mkdir(self.host.mount + above)

    def _disable(self, cgroup: str) -> None:
        if self.host.kernel.version == 2:
            control = f"{self.host.mount}{os.path.dirname(cgroup).rstrip('/')}/cgroup.subtree_control"
            type(self.host).write(self.host, control, "-cpu")
        else:
            self.host.rmdir(self.host.mount + cgroup)
