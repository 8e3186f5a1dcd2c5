"""cgroup v1's files."""

from __future__ import annotations

from cputune.core.model import Stats
from cputune.host.cgroup.v1 import V1


def test_counters_of_version_1_are_nanoseconds() -> None:
    text = "nr_periods 10\nnr_throttled 4\nthrottled_time 1500000\nnr_bursts 0\nburst_time 0\n"
    assert V1.parse_stats(text, "2500000\n") == Stats(2500, 10, 4, 1500)
    assert V1.parse_stats("", None) == Stats()
