"""What is the same in the memory of two runtimes."""

from __future__ import annotations

import pytest

from cputune.core.knobs import UNLIMITED
from cputune.core.model import Change
from cputune.runtimes.native.settings import mean_the_same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Change(), Change(quota=UNLIMITED, period=50000), True),
        (Change(), Change(shares=2623), True),
        (Change(quota=50000), Change(quota=50000, period=100000), True),
        (Change(quota=50000), Change(quota=50000, period=50000), False),
        (Change(quota=50000), Change(), False),
        (Change(), Change(shares=1024), False),
        (Change(weight=100), Change(), True),
        (Change(idle=False), Change(), True),
        (Change(idle=True), Change(), False),
        (Change(quota=5, burst=0), Change(quota=5), True),
        (Change(quota=5, burst=1), Change(quota=5), False),
        (None, Change(quota=5), True),
    ],
)
def test_two_memories_that_mean_the_same(one: Change | None, other: Change, same: bool) -> None:
    assert mean_the_same(one, other, 2623) is same
    assert mean_the_same(other, one, 2623) is same
