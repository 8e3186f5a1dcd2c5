"""Conversions between units: CPUs -> quota, shares <-> weight. Pure."""

from __future__ import annotations

import re

from cputune.core.errors import UsageError
from cputune.core.knobs import KNOB, MAX_PERIOD, MAX_QUOTA, MAX_SHARES, MAX_WEIGHT, MIN_QUOTA, MIN_SHARES, Value
from cputune.core.model import Scale

# int() would take "1_000", " 5 " and other scripts' digits; a script's typing error must not become a number.
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def parse_integer(text: str) -> int | None:
    """Return a whole number in ASCII digits and nothing else around it, or None."""
    return int(text) if _INTEGER.fullmatch(text) else None


def quota_for(microcpus: int, period: int, where: str = "--cpus") -> int:
    """Return the quota in microseconds that is `microcpus` millionths of a CPU with `period`; rounded to the nearest.

    Raises UsageError where the kernel would refuse the result, with a period with which it would fit; `where` says in
    the error where the number was given.
    """
    quota = (microcpus * period + 500_000) // 1_000_000
    wanted = f"{where}: {KNOB['cpus'].format(microcpus)} is a quota of {quota} with a period of {period}"
    if quota < MIN_QUOTA:
        fitting = -(-MIN_QUOTA * 1_000_000 // microcpus)
        hint = f"give a longer period: --period {fitting}" if fitting <= MAX_PERIOD else None
        raise UsageError(f"{wanted}, below {MIN_QUOTA}", hint)
    if quota > MAX_QUOTA:
        raise UsageError(f"{wanted}, above {MAX_QUOTA}")
    return quota


def weight_of_shares(shares: int, scale: Scale, where: str = "--shares") -> int:
    """Return the v2 weight that `shares` (2..262144) stands for.

    Raises UsageError where the weight would be above 10000, which the kernel refuses.
    """
    weight = _weight(shares, scale)
    if weight <= MAX_WEIGHT:
        return weight
    if scale is Scale.WEIGHT:
        weights = KNOB["weight"].range
        raise UsageError(f"{where}: {shares} is not in range: {weights} (libvirt's shares on cgroup v2)")
    largest = shares_of_weight(MAX_WEIGHT)
    raise UsageError(
        f"{where}: {shares} would be weight {weight} on cgroup v2, whose largest is {MAX_WEIGHT} ({largest} shares)"
    )


def nearest_weight(shares: int, scale: Scale = Scale.KERNEL) -> int:
    """Return the v2 weight (1..10000) that comes nearest to `shares`, for showing what they would be on v2."""
    return min(_weight(shares, scale), MAX_WEIGHT)


def shares_of_weight(weight: int, scale: Scale = Scale.KERNEL) -> int:
    """Return the shares that stand for a v2 `weight` (1..10000).

    On the scales of OCI runtimes several do: this is the largest of them, which for weight 100 is the usual 1024. The
    kernel's own is weight x 1024 / 100, rounded (kernel/sched/core.c, cpu_weight_write_u64).
    """
    match scale:
        case Scale.WEIGHT:
            return weight
        case Scale.KERNEL:
            return (weight * 1024 + 50) // 100
        case Scale.OCI | Scale.OCI_LINEAR:
            from bisect import bisect_right

            shares = range(MIN_SHARES, MAX_SHARES + 1)
            return shares[max(0, bisect_right(shares, weight, key=lambda number: _weight(number, scale)) - 1)]


def _weight(shares: int, scale: Scale) -> int:
    """Return the weight by the formula of a scale; it may be above the kernel's largest."""
    match scale:
        case Scale.WEIGHT:
            return shares
        case Scale.KERNEL:
            # kernel/sched/core.c, cpu_weight_read_u64: DIV_ROUND_CLOSEST(shares x 100, 1024); the smallest is 1.
            return max(1, (shares * 100 + 512) // 1024)
        case Scale.OCI_LINEAR:
            # runc until 1.3.1: ConvertCPUSharesToCgroupV2Value in libcontainer/cgroups/utils.go.
            return 1 + (shares - MIN_SHARES) * 9999 // (MAX_SHARES - MIN_SHARES)
        case Scale.OCI:
            # opencontainers/cgroups 0.0.5, utils.go: a curve through (2, 1), (1024, 100) and (262144, 10000).
            if shares <= MIN_SHARES or shares >= MAX_SHARES:
                return 1 if shares <= MIN_SHARES else MAX_WEIGHT
            from math import ceil, log2

            power = log2(shares)
            return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def in_other_unit(key: str, value: Value, scale: Scale, given: Value) -> str | None:
    """Return a weight in force in shares (those that were `given`, if any), or shares as a weight; else None."""
    if not isinstance(value, int):
        return None
    match key:
        case "weight":
            return f"{given or shares_of_weight(value, scale)} shares"
        case "shares":
            return f"weight {nearest_weight(value)}"
        case _:
            return None
