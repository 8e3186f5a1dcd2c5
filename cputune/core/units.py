"""Numbers and the words people write them in; shares <-> weight. Pure."""

from __future__ import annotations

import re

from cputune.core.errors import UsageError
from cputune.core.knobs import KNOB, UNLIMITED, Knob, Quota
from cputune.core.model import Scale

# int() would take "1_000", " 5 " and other scripts' digits; a script's typing error must not become a number.
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_DECIMAL = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?", re.ASCII)


def out_of_range(knob: Knob, text: object, where: str | None = None, hint: str | None = None) -> UsageError:
    """The error for a value that `knob` cannot take; `where` names the option, or the file and line."""
    shown = f"{text!r}" if isinstance(text, str) else f"{text}"
    return UsageError(f"{where or knob.option}: {shown} is not in range: {knob.range}", hint or "cputune set --help")


def parse_integer(text: str) -> int | None:
    """A whole number in ASCII digits and nothing else around it, or None."""
    return int(text) if _INTEGER.fullmatch(text) else None


def parse_number(knob: Knob, text: str, where: str | None = None) -> int:
    """A value for `knob`; 0 where the knob takes it as "no value". Raises UsageError with the range."""
    value = parse_integer(text)
    if value is None or not in_range(knob, value):
        raise out_of_range(knob, text, where)
    return value


def parse_quota(text: str, where: str | None = None) -> Quota:
    """Microseconds, 0 ("no value"), or UNLIMITED for `unlimited`, `max` and any negative number (as in libvirt)."""
    if text in ("unlimited", "max"):
        return UNLIMITED
    value = parse_integer(text)
    if value is not None and value < 0:
        return UNLIMITED
    return parse_number(KNOB["quota"], text, where)


def in_range(knob: Knob, value: int) -> bool:
    """Whether `value` fits the knob, 0 ("no value") included where the knob knows that."""
    return knob.minimum <= value <= knob.maximum or (value == 0 and knob.zero_is_none)


def parse_cpus(text: str) -> int:
    """CPUs as millionths ("1.5" -> 1500000), exactly, without going through binary fractions."""
    match = _DECIMAL.fullmatch(text)
    if match:
        micro = int(match[1]) * 1_000_000 + int((match[2] or "").ljust(6, "0"))
        if micro > 0:
            return micro
    raise UsageError(f"--cpus: {text!r} is not a number of CPUs greater than 0, such as 0.5 or 2", "cputune set --help")


def quota_for(microcpus: int, period: int) -> int:
    """The quota in microseconds that is `microcpus` millionths of a CPU with `period`; rounded to the nearest.

    Raises UsageError where the kernel would refuse the result, naming a period with which it would fit.
    """
    quota = (microcpus * period + 500_000) // 1_000_000
    knob = KNOB["quota"]
    if quota < knob.minimum:
        fitting = -(-knob.minimum * 1_000_000 // microcpus)
        raise UsageError(
            f"--cpus: {cpus_text(microcpus)} is a quota of {quota} with a period of {period}, below {knob.minimum}",
            f"give a longer period: --period {fitting}" if fitting <= KNOB["period"].maximum else None,
        )
    if quota > knob.maximum:
        raise UsageError(
            f"--cpus: {cpus_text(microcpus)} is a quota of {quota} with a period of {period}, above {knob.maximum}"
        )
    return quota


def cpus_text(microcpus: int) -> str:
    """Millionths of a CPU as people write it: 1500000 -> "1.5"."""
    return f"{microcpus / 1_000_000:.6f}".rstrip("0").rstrip(".")


def quota_text(quota: Quota | None) -> str:
    """A quota as cputune writes it for people and in YAML."""
    return "unlimited" if quota is UNLIMITED else str(quota)


def words(key: str, value: object) -> str:
    """A value as people see it."""
    if value is None:
        return "unset"
    if value is UNLIMITED:
        return "unlimited"
    return ("on" if value else "off") if key == "idle" else str(value)


def weight_of_shares(shares: int, scale: Scale, where: str = "--shares") -> int:
    """The v2 weight that `shares` (2..262144) stands for.

    Raises UsageError where the weight would be above 10000, which the kernel refuses.
    """
    knob = KNOB["weight"]
    weight = _weight(shares, scale)
    if weight <= knob.maximum:
        return weight
    if scale is Scale.WEIGHT:
        raise UsageError(
            f"{where}: {shares} is not in range: {knob.minimum}..{knob.maximum} (libvirt's shares on cgroup v2)"
        )
    largest = shares_of_weight(knob.maximum)
    raise UsageError(
        f"{where}: {shares} would be weight {weight} on cgroup v2, whose largest is {knob.maximum} ({largest} shares)"
    )


def nearest_weight(shares: int, scale: Scale = Scale.KERNEL) -> int:
    """The v2 weight that comes nearest to `shares`, for showing what they would be there."""
    return min(_weight(shares, scale), KNOB["weight"].maximum)


def shares_of_weight(weight: int, scale: Scale = Scale.KERNEL) -> int:
    """The shares that stand for a v2 `weight` (1..10000).

    Several do on the scales of OCI runtimes: the largest of them, which for weight 100 is the usual 1024. The kernel:
    x 1024 / 100, rounded (kernel/sched/core.c, cpu_weight_write_u64).
    """
    match scale:
        case Scale.WEIGHT:
            return weight
        case Scale.KERNEL:
            return (weight * 1024 + 50) // 100
        case Scale.OCI | Scale.OCI_LINEAR:
            from bisect import bisect_right

            shares = range(KNOB["shares"].minimum, KNOB["shares"].maximum + 1)
            return shares[max(0, bisect_right(shares, weight, key=lambda number: _weight(number, scale)) - 1)]


def _weight(shares: int, scale: Scale) -> int:
    """The weight by each formula, not yet held to the kernel's largest."""
    knob = KNOB["shares"]
    match scale:
        case Scale.WEIGHT:
            return shares
        case Scale.KERNEL:
            # kernel/sched/core.c, cpu_weight_read_u64: DIV_ROUND_CLOSEST(shares x 100, 1024); the smallest is 1.
            return max(1, (shares * 100 + 512) // 1024)
        case Scale.OCI_LINEAR:
            # runc until 1.3.1: ConvertCPUSharesToCgroupV2Value in libcontainer/cgroups/utils.go.
            return 1 + (shares - knob.minimum) * 9999 // (knob.maximum - knob.minimum)
        case Scale.OCI:
            # opencontainers/cgroups 0.0.5, utils.go: a curve through (2, 1), (1024, 100) and (262144, 10000).
            if shares <= knob.minimum or shares >= knob.maximum:
                return 1 if shares <= knob.minimum else KNOB["weight"].maximum
            from math import ceil, log2

            power = log2(shares)
            return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))
