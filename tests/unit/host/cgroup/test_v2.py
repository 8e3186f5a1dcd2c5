"""cgroup v2's files."""

from __future__ import annotations

from cputune.core.model import Stats
from cputune.host.cgroup.v2 import V2, parse_max


def test_a_vendors_third_field() -> None:
    assert parse_max("50000 100000 7\n") == (50000, 100000)


def test_counters_of_version_2_are_microseconds_and_fewer_without_the_controller() -> None:
    text = "usage_usec 2500\nuser_usec 1\nsystem_usec 2\n"
    assert V2.parse_stats(text, None) == Stats(usage=2500)
    assert V2.parse_stats(f"{text}nr_periods 10\nnr_throttled 4\nthrottled_usec 1500\n", None) == Stats(
        2500, 10, 4, 1500
    )
