"""The table of knobs, and the frozen values that travel between the layers.

None = leave alone or not there, UNLIMITED = no limit, an int = that many. The kernel's own words ("max", "-1")
never get here: `cputune.cgroup` converts them at the edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Literal, NamedTuple


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


class Change(NamedTuple):
    """What is wanted, and the saved config: None leaves a knob alone. Microseconds, except shares, weight and idle."""

    shares: int | None = None
    weight: int | None = None
    period: int | None = None
    quota: Quota | None = None
    burst: int | None = None
    idle: bool | None = None

    def named(self) -> dict[str, int | Unlimited | bool]:
        """The knobs that have a value, in the order of KNOBS."""
        return {key: value for key, value in zip(self._fields, self, strict=True) if value is not None}

    def only(self, keys: tuple[str, ...]) -> Change:
        """The part of this change that concerns `keys`."""
        return Change(**{key: value for key, value in self.named().items() if key in keys})  # type: ignore[arg-type]


class Request(NamedTuple):
    """What the command line asked for: values, and the knobs given as 0 ("no value")."""

    change: Change
    zeros: frozenset[str] = frozenset()
    microcpus: int | None = None
    """`--cpus` in millionths of a CPU: quota = this x period, with the period that will then be in force."""


class CpuTune(NamedTuple):
    """What one cgroup has in force. `shares` on v1 and `weight` on v2 (the other is None); None = no such file."""

    shares: int | None = None
    weight: int | None = None
    period: int | None = None
    quota: Quota | None = None
    burst: int | None = None
    idle: bool | None = None

    @property
    def cpus(self) -> float | None:
        """The limit in CPUs; None where there is none: the largest quota stands for that in libvirt and podman."""
        if isinstance(self.quota, int) and self.quota < MAX_QUOTA and self.period:
            return self.quota / self.period
        return None


class Scale(Enum):
    """How a runtime reads a number of shares on cgroup v2."""

    KERNEL = "kernel"
    """weight = shares x 100 / 1024, as kernel/sched/core.c does."""
    WEIGHT = "weight"
    """Unconverted: libvirt's LXC driver writes it as the weight."""
    OCI = "oci"
    """The curve of runc 1.3.2 and crun 1.23, and later: 1024 shares are weight 100, 512 are 59."""
    OCI_LINEAR = "oci-linear"
    """What runc and crun did before: 2..262144 on 1..10000, so that 1024 shares are weight 39."""


OCI_SCALES = (Scale.OCI, Scale.OCI_LINEAR)


class Domain(NamedTuple):
    """One container, unit or cgroup, as its runtime knows it. Cgroup paths are those of the cpu hierarchy."""

    runtime: str
    name: str
    running: bool
    persistent: bool
    limit: str | None = None
    """The cgroup that carries quota, period and burst: the one the runtime's own command writes."""
    weight: str | None = None
    """The cgroup that carries shares, weight and idle; most often the same."""
    scale: Scale = Scale.KERNEL
    facts: tuple[tuple[str, str], ...] = ()
    """What else is known of it, for `status DOMAIN`: ("pid", "441"), ("unit", "x.scope"), ..."""
    mirrored: bool = False
    """`limit` is inside `weight`, and the runtime's own command writes all knobs to both: crun under systemd."""
    obstacle: str | None = None
    """Why it runs and yet has no cgroup that could be limited."""

    @property
    def qualified(self) -> str:
        """RUNTIME:NAME."""
        return f"{self.runtime}:{self.name}"

    def state(self, states: Mapping[str, CpuTune]) -> CpuTune:
        """The domain's own state, from those of its cgroups: bandwidth is `limit`'s, the rest `weight`'s."""
        if self.limit is None or self.weight is None:
            return CpuTune()
        limit = states[self.limit]
        if self.mirrored and (outer := states[self.weight].cpus) is not None and outer < (limit.cpus or outer + 1):
            limit = states[self.weight]  # both are to have the same: the tighter one counts
        return states[self.weight]._replace(**{key: getattr(limit, key) for key in BANDWIDTH})

    def seats(self) -> tuple[KnobCgroup, ...]:
        """The cgroups to write, each with the knobs it carries."""
        if self.limit is None or self.weight is None:
            return ()
        if self.limit == self.weight:
            return (KnobCgroup(self.limit, BANDWIDTH + WEIGHT),)
        if self.mirrored:
            return (KnobCgroup(self.weight, BANDWIDTH + WEIGHT), KnobCgroup(self.limit, BANDWIDTH + WEIGHT))
        return (KnobCgroup(self.weight, WEIGHT), KnobCgroup(self.limit, BANDWIDTH))


class KnobCgroup(NamedTuple):
    """One cgroup of a domain and the knobs that live there."""

    cgroup: str
    carries: tuple[str, ...]


class Write(NamedTuple):
    """One write into one kernel file."""

    path: str
    value: str
    before: str


class Stats(NamedTuple):
    """Counters of one cgroup since it was made; times in microseconds. None = the kernel does not count it here."""

    usage: int | None = None
    periods: int | None = None
    throttled: int | None = None
    throttled_usec: int | None = None


Source = Literal["live", "config"]
