"""The order of writes and the model behind it, against the real kernel's verdict on thousands of random states.

The seed is fixed: a failure names the step, and comes again.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cputune.core.knobs import UNLIMITED
from cputune.host.cgroup import bandwidth
from cputune.host.cgroup.plan import writes
from tests.support.fakekernel import FOREVER, MAX_MICROSECONDS, Band
from tests.support.lab import Lab

SEED = 20110627
TRANSITIONS = 3000
A_FAMILY_LASTS = 50


class Family(NamedTuple):
    """What stands above and below a group; None where nothing is limited."""

    parent: Band | None
    child: Band | None

    def legal(self, band: Band) -> bool:
        """v1's rule, stated here anew: not from cputune."""
        quota, period, burst = band
        if not 1000 <= period <= 1000000:
            return False
        if quota is None:
            return True
        own = quota >= 1000 and burst <= quota and quota + burst <= MAX_MICROSECONDS
        return own and self.low <= band.ratio <= self.high

    @property
    def low(self) -> int:
        return self.child.ratio if self.child else 0

    @property
    def high(self) -> int:
        return self.parent.ratio if self.parent else FOREVER


class Dice:
    """Random bands, often right at the edge of what is legal."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)

    def period(self) -> int:
        pick = self.random.random()
        if pick < 0.1:
            return self.random.choice((1000, 1000000))
        return round(10 ** self.random.uniform(3, 6))

    def band(self, family: Family) -> Band:
        """Any band, legal or not."""
        period = self.period()
        if self.random.random() < 0.1:
            return Band(None, period, self.random.choice((0, self.random.randrange(1000000))))
        low, high = family.low, min(family.high, 1 << 24)
        ratio = self.random.choice((low, high, self.random.uniform(low, high), self.random.uniform(low, high)))
        quota = round(ratio * period / (1 << 20)) + self.random.choice((-1, 0, 0, 1))
        if self.random.random() < 0.03:
            quota = self.random.choice((1000, MAX_MICROSECONDS, self.random.randrange(MAX_MICROSECONDS)))
        quota = min(max(quota, 1000), MAX_MICROSECONDS)
        burst = self.random.choice((0, quota, self.random.randrange(quota), quota + self.random.randrange(3)))
        return Band(quota, period, burst)

    def legal(self, family: Family, *, limited: bool = False) -> Band:
        """A band that the kernel takes."""
        while not (family.legal(band := self.band(family)) and (band.quota or not limited)):
            pass
        return band

    def family(self, kind: str) -> Family:
        """What stands above and below the group."""
        free = Family(None, None)
        if kind == "free":
            return free
        parent = self.legal(free, limited=True)._replace(burst=0)
        if kind == "leaf":
            return Family(parent, None)
        return Family(parent, self.legal(Family(parent, None), limited=True)._replace(burst=0))


class Bench:
    """A group of the real kernel, with what stands above and below it."""

    def __init__(self, lab: Lab, dice: Dice, kind: str) -> None:
        self.lab = lab
        self.dice = dice
        self.kind = kind
        lab.make("group/child")
        self.path = lab.path("group")

    def families(self, steps: int) -> Iterator[tuple[int, Family]]:
        """The number of each step, and the family that is there at it: a new one from time to time."""
        for step in range(steps):
            if step % A_FAMILY_LASTS == 0:
                family = self.dice.family(self.kind)
                self.found(family)
            yield step, family

    def found(self, family: Family) -> None:
        """Lift all limits, then set those of the family from the top down."""
        for name in ("group/child", "group", ""):
            self.lab.put_band(name, None, 100000, 0)
        for name, band in (("", family.parent), ("group/child", family.child)):
            if band:
                self.lab.put_band(name, *band)
        self.lab.host.writes.clear()


@pytest.mark.parametrize("kind", ["leaf", "between", "free"])
def test_every_legal_transition_reaches_its_goal_without_a_refusal(real: Lab, kind: str) -> None:
    """A leaf below a limited parent; a group between a limited parent and a limited child; a group on its own."""
    dice = Dice()
    bench = Bench(real, dice, kind)
    cgroups = real.cgroups
    for step, family in bench.families(TRANSITIONS):
        wanted = dice.legal(family)
        now = cgroups.read(bench.path)
        quota = UNLIMITED if wanted.quota is None else wanted.quota
        goal = now.replace(quota=quota, period=wanted.period, burst=wanted.burst)
        what = f"seed {SEED}, {kind}, step {step}: {family}: {now} -> {goal}"
        for write in writes(cgroups.backend, cgroups.directory(bench.path), now, goal, cgroups.bounds(bench.path)):
            try:
                real.host.write(write.path, write.value)
            except OSError as error:
                pytest.fail(f"{what}: {write}: {error.strerror}")
        assert cgroups.read(bench.path) == goal, what


@pytest.mark.parametrize("kind", ["leaf", "between", "free"])
def test_the_models_verdict_on_any_state_is_the_kernels(real: Lab, kind: str) -> None:
    """Everything is in place but one value; the kernel takes that, or does not, as order.fits says."""
    dice = Dice()
    bench = Bench(real, dice, kind)
    verdicts = []
    for step, family in bench.families(TRANSITIONS):
        band = dice.band(family)
        bounds = (
            bandwidth.Bounds(as_limit(family.parent), as_limit(family.child))
            if real.version == 1
            else bandwidth.Bounds()
        )
        own = bandwidth.Band(UNLIMITED if band.quota is None else band.quota, band.period, band.burst)
        verdicts.append(kernel_takes(real, band))
        assert bandwidth.fits(own, bounds) == verdicts[-1], f"seed {SEED}, {kind}, step {step}: {family}: {band}"
    assert verdicts.count(True) > TRANSITIONS / 10
    assert verdicts.count(False) > TRANSITIONS / 10


def as_limit(band: Band | None) -> bandwidth.Limit | None:
    return bandwidth.Limit("", band.quota, band.period) if band and band.quota is not None else None


def kernel_takes(lab: Lab, band: Band) -> bool:
    """Lift the limit, set all but one value, and see what the kernel says to the last."""
    lab.write("quota", lab.words(None), "group")
    if lab.version == 1:
        lab.write("burst", str(band.burst), "group")
        lab.write("period", str(band.period), "group")
        last = ("quota", lab.words(band.quota))
    else:
        lab.write("burst", "0", "group")
        lab.write("quota", lab.words(band.quota, band.period), "group")
        last = ("burst", str(band.burst))
    try:
        lab.write(*last, "group")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


@pytest.mark.cgroup(1)
def test_v1_the_largest_and_the_smallest_quota_are_the_kernels(real: Lab) -> None:
    """What the hints name, below and above a limit: its neighbour is refused."""
    dice = Dice()
    real.make("group/child")
    for step in range(500):
        limit = dice.legal(Family(None, None), limited=True)._replace(burst=0)
        period = dice.period()
        bound = as_limit(limit)
        assert bound is not None
        for name, number, beyond in (
            ("", bandwidth.largest_quota(bound, period), 1),
            ("group/child", bandwidth.smallest_quota(bound, period), -1),
        ):
            for other in ("group/child", "group", ""):
                real.put_band(other, None, period, 0)
            real.put_band(name, *limit)
            what = f"seed {SEED}, step {step}: {limit} on {name or 'the parent'}, period {period}"
            for quota, taken in ((number, True), (number + beyond, False)):
                if 1000 <= quota <= MAX_MICROSECONDS:
                    assert kernel_takes(real, Band(quota, period, 0)) == taken, f"{what}: {quota}"
