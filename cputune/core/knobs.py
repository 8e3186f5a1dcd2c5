"""The table of knobs: one row each, and the only place that knows a knob's names, its values and its words. Pure.

None = leave alone or not there, UNLIMITED = no limit, an int = that many. The kernel's own words ("max", "-1")
never get here: `cputune.host.cgroup` converts them at the edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from cputune.core.errors import UsageError


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
MAX_PERIOD = 1000000
MIN_SHARES, MAX_SHARES = 2, 262144
MAX_WEIGHT = 10000
DEFAULT_PERIOD = 100000
DEFAULT_SHARES = 1024
DEFAULT_WEIGHT = 100


class Amount:
    """The kind of a knob that is a number of something: an int in its smallest unit, or UNLIMITED."""

    is_flag = False
    _LONGEST = 32

    def __init__(
        self,
        least: int,
        most: int,
        unit: str = "",
        *,
        scale: int = 1,
        units: dict[str, int] | None = None,
        most_in_words: str = "",
        unlimited: bool = False,
        negative_is_unlimited: bool = False,
    ) -> None:
        """`scale` of the smallest unit are one `unit`; `units` says how many of the smallest unit each suffix is."""
        self.least, self.most, self._unlimited = least, most, unlimited
        self._scale, self._places = scale, len(str(scale)) - 1
        self._units = {"": scale, **(units or {})}
        self._negative_is_unlimited = negative_is_unlimited
        self.words = ("unlimited",) if unlimited else ()
        """What a shell offers to complete."""
        self.range = (
            f"{self.format(least)}..{most_in_words or self.format(most)}{f' {unit}' if unit else ''}"
            f"{', or unlimited' if unlimited else ''}"
        )
        """The range in words, for messages and the manual."""

    def read(self, text: str) -> Quota | None:
        """Return the value that a text stands for, in the range or not; None for any text but an exact one."""
        if self._unlimited and text in ("unlimited", "max"):
            return UNLIMITED
        if len(text) > self._LONGEST or not text.isascii():
            return None
        if self._negative_is_unlimited and text[:1] == "-" and text[1:].isdigit() and int(text) < 0:
            return UNLIMITED
        for suffix, factor in self._units.items():
            if text.endswith(suffix) and (number := _exactly(text[: len(text) - len(suffix)], factor)) is not None:
                return number
        return None

    def format(self, value: Value) -> str:
        """Return a value as `read` takes it, in the unit without a suffix."""
        if not isinstance(value, int):
            return "unlimited"
        whole, part = divmod(value, self._scale)
        return f"{whole}.{part:0{self._places}}".rstrip("0") if part else str(whole)

    def number(self, value: Value) -> float:
        """Return a value as scripts see it: unlimited is -1 on both cgroup versions, as in virsh."""
        if not isinstance(value, int):
            return -1
        return value if self._scale == 1 else value / self._scale

    def can_be(self, value: Value) -> bool:
        """Return whether a value is of this kind, in the range or not."""
        return type(value) is int or (value is UNLIMITED and self._unlimited)

    def fits(self, value: Value) -> bool:
        """Return whether a value is of this kind and in the range."""
        return self.can_be(value) and (value is UNLIMITED or self.least <= int(value or 0) <= self.most)


class Flag:
    """The kind of a knob that is on or off: a bool."""

    is_flag = True
    words = ("true", "false")
    range = "true or false"
    _TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

    def read(self, text: str) -> bool | None:
        """Return the value that a word stands for, however it is capitalized; None for any other text."""
        word = text.lower()
        return True if word in self._TRUE else False if word in self._FALSE else None

    def format(self, value: Value) -> str:
        """Return a value as `read` takes it."""
        return "true" if value else "false"

    def number(self, value: Value) -> bool:
        """Return a value as scripts see it."""
        return bool(value)

    def can_be(self, value: Value) -> bool:
        """Return whether a value is of this kind."""
        return type(value) is bool

    fits = can_be


def _exactly(text: str, factor: int) -> int | None:
    """So many of the smallest unit, of which one is `factor`; None for what is no number, or not a whole one then.

    A unit that is the smallest takes no decimals at all.
    """
    whole, dot, fraction = text.partition(".")
    if not (whole + fraction).isdigit() or (dot and (not fraction or factor == 1)):
        return None
    number, rest = divmod(int(whole + fraction) * factor, 10 ** len(fraction))
    return None if rest else number


class Knob(NamedTuple):
    """One tunable."""

    key: str
    """The option (`--quota`), the key in YAML, and the name in messages and records."""
    kind: Amount | Flag
    """What its values are, and how they are read, written and described."""
    default: Value
    """What a new cgroup has."""
    metavar: str
    help: str
    virsh: str = ""
    """The name in `schedinfo`, plain and JSON; libvirt's own where it has one. Empty: `schedinfo` does not have it."""
    in_virsh: bool = False
    """Whether libvirt has it, too: then it is shown without --all."""
    group: str = ""
    """Knobs of one group are changed together by the kernel or by systemd, so they are put back together."""
    alternative: str = ""
    """The knob that is another unit of the same thing: both cannot be set, and to save one removes the other."""
    in_kernel: bool = True
    """Whether the kernel has it; where not, the kernel gets its alternative."""
    zero_is_none: bool = False
    """libvirt's rule: 0 is "no value"; live it changes nothing, in the config it removes the key."""
    since: str = ""
    """The Linux that first had it, for hints. Whether a cgroup has it is asked of its files alone."""
    systemd: str = ""
    """systemd's property over D-Bus: org.freedesktop.systemd1(5)."""

    @property
    def option(self) -> str:
        """The option as it is typed."""
        return f"--{self.key}"

    @property
    def identifier(self) -> str:
        """The key as Python can have it in a parameter's name."""
        return self.key.replace("-", "_")

    @property
    def name(self) -> str:
        """The name that scripts see."""
        return self.virsh or self.key

    @property
    def kernel_key(self) -> str:
        """The knob that the kernel has for it."""
        return self.key if self.in_kernel else self.alternative

    @property
    def range(self) -> str:
        """The range in words, for messages and the manual."""
        return self.kind.range

    def parse(self, text: str, where: str | None = None, hint: str | None = None) -> Value:
        """Return the value that a text stands for; 0 where the knob takes that as "no value".

        Raises UsageError with the range; `where` names the option, or the file and the line.
        """
        value = self.kind.read(text)
        if value is None or not (self.kind.fits(value) or (self.zero_is_none and value == 0)):
            raise self.out_of_range(text, where, hint)
        return value

    def out_of_range(self, text: str, where: str | None = None, hint: str | None = None) -> UsageError:
        """Return the error for a text that is no value of this knob."""
        message = f"{where or self.option}: {text!r} is not in range: {self.range}"
        return UsageError(message, hint or "cputune set --help")

    def format(self, value: Value) -> str:
        """Return a value as it is shown and written everywhere, and as `parse` takes it; "unset" for None."""
        return "unset" if value is None else self.kind.format(value)

    def number(self, value: Value) -> float | None:
        """Return a value as scripts see it: microseconds, CPUs, -1 for unlimited."""
        return None if value is None else self.kind.number(value)


_TIME = {"us": 1, "ms": 1_000, "s": 1_000_000}
_SHARES_OF_CPU = {"%": 10_000, "m": 1_000}  # of one CPU, as in systemd; millicpu, as in Kubernetes

KNOBS = (
    Knob(
        "shares", Amount(MIN_SHARES, MAX_SHARES), DEFAULT_SHARES, "N",
        "Relative weight in the unit of cgroup v1 (1024 is the default of every cgroup).",
        virsh="cpu_shares", in_virsh=True, group="weight", alternative="weight", zero_is_none=True,
        systemd="CPUShares",
    ),
    Knob(
        "weight", Amount(1, MAX_WEIGHT), DEFAULT_WEIGHT, "N",
        "Relative weight in the unit of cgroup v2 (100 is the default). Not together with --shares.",
        virsh="cpu_weight", group="weight", alternative="shares", zero_is_none=True, systemd="CPUWeight",
    ),
    Knob(
        "period", Amount(1000, MAX_PERIOD, "microseconds", units=_TIME), DEFAULT_PERIOD, "USEC",
        "CFS period: how often the quota is granted anew.",
        virsh="vcpu_period", in_virsh=True, group="bandwidth", zero_is_none=True, systemd="CPUQuotaPeriodUSec",
    ),
    Knob(
        "quota",
        Amount(MIN_QUOTA, MAX_QUOTA, "microseconds", units=_TIME, unlimited=True, negative_is_unlimited=True),
        UNLIMITED, "USEC",
        "CPU time per period; unlimited, max or a negative number lifts the limit.",
        virsh="vcpu_quota", in_virsh=True, group="bandwidth", alternative="cpus", zero_is_none=True,
        systemd="CPUQuotaPerSecUSec",
    ),
    Knob(
        "cpus", Amount(1, 999_999_999_000_000, "CPUs", scale=1_000_000, units=_SHARES_OF_CPU, unlimited=True),
        UNLIMITED, "N",
        "CPUs the domain may use, as 1.5, .5, 150% (of one CPU) or 1500m: quota = N x period. "
        "Not together with --quota.",
        group="bandwidth", alternative="quota", in_kernel=False,
    ),
    Knob(
        "burst", Amount(0, MAX_QUOTA, "microseconds", units=_TIME, most_in_words="quota"), 0, "USEC",
        "What may be saved up, and spent above the quota.",
        virsh="vcpu_burst", group="bandwidth", since="5.14",
    ),
    Knob(
        "idle", Flag(), False, "BOOLEAN",
        "Run only when nothing else wants the CPU (SCHED_IDLE).",
        virsh="cpu_idle", group="weight", since="5.15",
    ),
)  # fmt: skip
KNOB = {knob.key: knob for knob in KNOBS}
IN_KERNEL = tuple(knob.key for knob in KNOBS if knob.in_kernel)

_GROUPS: dict[str, tuple[str, ...]] = {}
for _knob in KNOBS:
    if _knob.in_kernel:
        _GROUPS[_knob.group or _knob.key] = (*_GROUPS.get(_knob.group or _knob.key, ()), _knob.key)

BANDWIDTH = _GROUPS["bandwidth"]
WEIGHT = _GROUPS["weight"]
"""What a domain's `weight` cgroup carries."""
LIMIT = tuple(key for key in IN_KERNEL if key not in WEIGHT)
"""What a domain's `limit` cgroup carries."""

QUOTA_AND_PERIOD = frozenset(("quota", "period"))
"""One limit: neither means anything without the other."""
SHARES_AND_WEIGHT = frozenset(("shares", "weight"))
"""Two units of one thing, of which the kernel has one, and which it forgets in an idle group."""


def with_pair(keys: Iterable[str], pair: frozenset[str]) -> frozenset[str]:
    """These knobs, and both of a pair where one of it is among them."""
    known = frozenset(keys)
    return known | pair if known & pair else known


def with_groups(keys: Iterable[str]) -> tuple[str, ...]:
    """Return all knobs that the kernel or systemd may change together with these."""
    known = set(keys)
    return tuple(key for group in _GROUPS.values() if known & set(group) for key in group)
