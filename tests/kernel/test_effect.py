"""What a limit does to a process that burns CPU: measured on the kernel's counters, until it shows."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.support.commandline import CommandLine
from tests.support.lab import Lab
from tests.support.waiting import until

BURN = "sh -c 'while :; do :; done'"
INTERVAL = 0.5
CAP = 0.05
HEAVIEST = {1: 262144, 2: 10000}
"""The weight with which a busy machine leaves the group its CPU."""


def burn(lab: Lab, name: str = "") -> None:
    for above in ("", name.partition("/")[0], name):
        lab.put(above, weight=HEAVIEST[lab.version])
    lab.spawn(name, command=BURN)


def used(lab: Lab, name: str = "") -> float:
    """The CPUs that a group uses for a while."""
    before, begun = lab.cgroups.stats(lab.path(name)).usage, time.monotonic()
    time.sleep(INTERVAL)
    after, passed = lab.cgroups.stats(lab.path(name)).usage, time.monotonic() - begun
    assert before is not None
    assert after is not None
    return (after - before) / 1e6 / passed


def watched(cputune: CommandLine, lab: Lab, name: str = "") -> dict[str, Any]:
    """What `status --interval` says of a group."""
    ended = cputune(lab.host, "status", lab.name(name), "--interval", str(INTERVAL), "--json")
    assert (ended.status, ended.err) == (0, "")
    found: dict[str, Any] = json.loads(ended.out)["domains"][0]
    return found


def is_throttled(row: dict[str, Any]) -> bool:
    return bool(row["throttled"] > 0.5 and 0 < row["used_cpus"] < 2 * CAP)


def test_a_cap_makes_the_used_time_fall_and_lifting_it_rise(real: Lab, cputune: CommandLine) -> None:
    burn(real)
    until(lambda: used(real) > 3 * CAP)
    assert cputune(real.host, "set", real.name(), "--cpus", str(CAP)).status == 0
    until(lambda: used(real) < 2 * CAP)
    assert cputune(real.host, "set", real.name(), "--quota", "unlimited").status == 0
    until(lambda: used(real) > 3 * CAP)


def test_a_cap_on_the_parent_holds_the_child_too(real: Lab, cputune: CommandLine) -> None:
    real.make("child")
    burn(real, "child")
    until(lambda: used(real, "child") > 3 * CAP)
    assert cputune(real.host, "set", real.name(), "--cpus", str(CAP)).status == 0
    until(lambda: used(real, "child") < 2 * CAP)


def test_status_shows_a_group_throttled_by_its_own_limit(real: Lab, cputune: CommandLine) -> None:
    real.put(quota=5000, period=100000)
    burn(real)
    row = until(lambda: (row := watched(cputune, real)) and is_throttled(row) and row)
    assert row
    assert (row["limit_cpus"], row["effective_cpus"], row["bound_by"]) == (CAP, CAP, None)
    assert row["throttled_by"] == real.path()


def test_status_names_the_ancestor_that_throttles(real: Lab, cputune: CommandLine) -> None:
    real.put(quota=5000, period=100000)
    real.make("between/child", quota={1: None, 2: 50000}[real.version])
    burn(real, "between/child")
    row = until(lambda: (row := watched(cputune, real, "between/child")) and is_throttled(row) and row)
    assert row
    assert (row["effective_cpus"], row["bound_by"]) == (CAP, real.path())
    assert row["throttled_by"] == real.path()


def test_status_shows_a_group_that_sleeps_as_not_throttled(real: Lab, cputune: CommandLine) -> None:
    real.put(quota=5000, period=100000)
    row = watched(cputune, real)
    assert (row["used_cpus"], row["throttled_by"]) == (0, None)
    assert not row["throttled"]  # none, or 0 where the kernel counts a period after the limit was set
