"""The table of knobs: one row each, the only place that knows a knob's names, its range and its words. Pure.

None = leave alone or not there, UNLIMITED = no limit, an int = that many. The kernel's own words ("max", "-1")
never get here: `cputune.host.cgroup` converts them at the edge.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Unlimited(Enum):
    """The type of UNLIMITED, so that type checkers can tell it from a number."""

    UNLIMITED = "unlimited"


UNLIMITED = Unlimited.UNLIMITED
Quota = int | Unlimited
Value = int | Unlimited | bool | None
"""Of any knob."""

# 2^44 - 1 microseconds: MAX_BW_BITS in kernel/sched/core.c; quota + burst may not exceed it either.
MAX_QUOTA = 17592186044415
MIN_QUOTA = 1000
DEFAULT_PERIOD = 100000
DEFAULT_SHARES = 1024
DEFAULT_WEIGHT = 100


class Knob(NamedTuple):
    """One tunable: the only place that knows its names, its range and its words."""

    key: str
    """The option (`--quota`) and the YAML key."""
    virsh: str
    """The name in `schedinfo`, plain and JSON; libvirt's own where it has one."""
    minimum: int
    maximum: int
    unit: str
    metavar: str
    help: str
    zero_is_none: bool = True
    """libvirt's rule: 0 is "no value"; live it changes nothing, in the config it removes the key."""

    def can_be(self, value: Value) -> bool:
        """Whether a value is of this knob's type, in its range or not."""
        if value is UNLIMITED:
            return self.key == "quota"
        return type(value) is (bool if self.key == "idle" else int)

    @property
    def option(self) -> str:
        """The option as it is typed."""
        return f"--{self.key}"

    @property
    def range(self) -> str:
        """The range in words, for messages and the manual."""
        if self.key == "idle":
            return "true or false"
        if self.key == "burst":
            return "0..quota microseconds"
        tail = ", or unlimited" if self.key == "quota" else ""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.minimum}..{self.maximum}{unit}{tail}"


KNOBS = (
    Knob("shares", "cpu_shares", 2, 262144, "", "N",
         "Relative weight in the unit of cgroup v1 (1024 is the default of every cgroup)."),
    Knob("weight", "cpu_weight", 1, 10000, "", "N",
         "Relative weight in the unit of cgroup v2 (100 is the default). Not together with --shares."),
    Knob("period", "vcpu_period", 1000, 1000000, "microseconds", "USEC",
         "CFS period: how often the quota is granted anew."),
    Knob("quota", "vcpu_quota", MIN_QUOTA, MAX_QUOTA, "microseconds", "USEC",
         "CPU time per period; unlimited, max or a negative number lifts the limit."),
    Knob("burst", "vcpu_burst", 0, MAX_QUOTA, "microseconds", "USEC",
         "What may be saved up, and spent above the quota.", zero_is_none=False),
    Knob("idle", "cpu_idle", 0, 1, "", "", "Run only when nothing else wants the CPU (SCHED_IDLE).",
         zero_is_none=False),
)  # fmt: skip
KNOB = {knob.key: knob for knob in KNOBS}
BANDWIDTH = ("period", "quota", "burst")
WEIGHT = ("shares", "weight", "idle")
