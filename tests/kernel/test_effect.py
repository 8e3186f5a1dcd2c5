"""What a limit does to a process that burns CPU: measured on the kernel's counters, with wide margins."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.support.commandline import CommandLine
from tests.support.lab import Lab

BURN = "sh -c 'while :; do :; done'"
SECONDS = 1.5


def used(lab: Lab, name: str = "") -> float:
    """The CPU seconds that a group uses in SECONDS."""
    before = lab.cgroups.stats(lab.path(name)).usage
    time.sleep(SECONDS)
    after = lab.cgroups.stats(lab.path(name)).usage
    assert before is not None
    assert after is not None
    return (after - before) / 1e6


def watched(cputune: CommandLine, lab: Lab, name: str = "") -> dict[str, Any]:
    """What `status --interval` says of a group."""
    ended = cputune(lab.host, "status", lab.name(name), "--interval", str(SECONDS), "--json")
    assert (ended.status, ended.err) == (0, "")
    found: dict[str, Any] = json.loads(ended.out)["domains"][0]
    return found


def test_a_cap_makes_the_used_time_fall_and_lifting_it_rise(real: Lab, cputune: CommandLine) -> None:
    real.spawn(command=BURN)
    free = used(real)
    assert cputune(real.host, "set", real.name(), "--cpus", "0.05").status == 0
    capped = used(real)
    assert cputune(real.host, "set", real.name(), "--quota", "unlimited").status == 0
    free_again = used(real)
    assert capped < 2 * 0.05 * SECONDS
    assert min(free, free_again) > 3 * capped


def test_a_cap_on_the_parent_holds_the_child_too(real: Lab, cputune: CommandLine) -> None:
    real.make("child")
    real.spawn("child", command=BURN)
    free = used(real, "child")
    assert cputune(real.host, "set", real.name(), "--cpus", "0.05").status == 0
    capped = used(real, "child")
    assert capped < 2 * 0.05 * SECONDS
    assert free > 3 * capped


def test_status_shows_a_group_throttled_by_its_own_limit(real: Lab, cputune: CommandLine) -> None:
    real.put(quota=5000, period=100000)
    real.spawn(command=BURN)
    row = watched(cputune, real)
    assert (row["limit_cpus"], row["effective_cpus"], row["bound_by"]) == (0.05, 0.05, None)
    assert row["throttled_by"] == real.path()
    assert row["throttled"] > 0.5
    assert 0 < row["used_cpus"] < 0.1


def test_status_names_the_ancestor_that_throttles(real: Lab, cputune: CommandLine) -> None:
    real.put(quota=5000, period=100000)
    real.make("between/child", quota={1: None, 2: 50000}[real.version])
    real.spawn("between/child", command=BURN)
    row = watched(cputune, real, "between/child")
    assert (row["effective_cpus"], row["bound_by"]) == (0.05, real.path())
    assert row["throttled_by"] == real.path()
    assert row["throttled"] > 0.5
    assert 0 < row["used_cpus"] < 0.1


def test_status_shows_a_group_that_sleeps_as_not_throttled(real: Lab, cputune: CommandLine) -> None:
    real.put(quota=5000, period=100000)
    row = watched(cputune, real)
    assert (row["used_cpus"], row["throttled_by"]) == (0, None)
    assert not row["throttled"]  # none, or 0 where the kernel counts a period after the limit was set
