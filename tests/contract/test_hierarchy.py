"""Limits above and below: what v1 refuses and v2 lets pass, and several domains in one transaction."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cputune.core.errors import Refused
from cputune.core.knobs import MIN_QUOTA, UNLIMITED
from cputune.planning.plan import Job
from cputune.planning.planner import plan_jobs
from tests.support.lab import Lab, change_domains, request

V1, V2 = pytest.mark.cgroup(1), pytest.mark.cgroup(2)


def refused(lab: Lab, *names: str, **values: Any) -> tuple[str, str | None]:
    """The message and hint of the refusal, with {group} for the test's cgroup; nothing has been written."""
    lab.host.writes.clear()
    with pytest.raises(Refused) as caught:
        lab.set(*names, **values)
    assert lab.written() == []
    hint = caught.value.hint
    return caught.value.message.replace(lab.group, "{group}"), hint and hint.replace(lab.group, "{group}")


def quotas(lab: Lab, *names: str) -> list[object]:
    return [lab.state(name).quota for name in names]


# --- one domain -------------------------------------------------------------------------------------------------------


@V1
def test_v1_refuses_a_limit_above_the_ancestors(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("between/child")
    mount = lab.cgroups.hierarchy.mount
    assert refused(lab, "between/child", quota=20001, period=40000) == (
        f"{mount}{{group}}/between/child: quota 20001 with period 40000 (0.500025 CPUs) is above the limit of its "
        "ancestor {group}, 0.5 CPUs (quota 50000 with period 100000); on cgroup v1 the kernel refuses that",
        "the largest that fits: --quota 20000; or raise {group} first",
    )
    lab.set("between/child", quota=20000, period=40000)
    assert lab.state("between/child").quota == 20000


@V1
def test_v1_names_the_ancestor_that_was_lowered_after_it_was_planned(lab: Lab) -> None:
    lab.make("child")
    plan = plan_jobs(lab.tuner.context, [Job(lab.tuner.find(lab.name("child")), request(quota=60000), "live")])
    lab.put(quota=50000)
    with pytest.raises(Refused) as caught:
        lab.tuner.perform(plan)
    assert f"is above the limit of its ancestor {lab.group}, 0.5 CPUs" in caught.value.message
    assert lab.state("child").quota is UNLIMITED


@V1
def test_v1_refuses_a_limit_below_a_descendants(lab: Lab) -> None:
    lab.make("between/child", quota=30000, period=100000)
    lab.make("other", quota=10000, period=100000)
    mount = lab.cgroups.hierarchy.mount
    assert refused(lab, quota=29999) == (
        f"{mount}{{group}}: quota 29999 with period 100000 (0.29999 CPUs) is below the limit of the group "
        "{group}/between/child, 0.3 CPUs (quota 30000 with period 100000) inside it; on cgroup v1 the kernel refuses "
        "that",
        "the smallest that fits: --quota 30000; or lower {group}/between/child first",
    )
    lab.set(quota=30000)
    assert lab.state().quota == 30000


# 333333/1000000 and 10000/30000 do not come out even in the kernel's 20 binary digits
LIMITS = [(10000, 30000), (333333, 1000000), (2999, 999999), (2500000, 999983)]


@V1
@pytest.mark.parametrize(("quota", "period"), LIMITS)
@pytest.mark.parametrize("own_period", [1000, 7000, 99999, 1000000])
def test_v1_the_largest_that_fits_does_and_the_next_does_not(
    lab: Lab, quota: int, period: int, own_period: int
) -> None:
    lab.put(quota=quota, period=period)
    lab.make("child", period=own_period)
    largest = offered(lab, "child", quota=3 * own_period)
    if largest is None:  # none that the kernel takes at all: even the smallest quota is too much
        assert 1000 * period > quota * own_period
        largest = 999
    else:
        lab.write("quota", str(largest), "child")
    with pytest.raises(OSError, match="Invalid argument"):
        lab.write("quota", str(largest + 1), "child")


@V1
@pytest.mark.parametrize(("quota", "period"), LIMITS)
@pytest.mark.parametrize("own_period", [600000, 999999, 1000000])
def test_v1_the_smallest_that_fits_does_and_the_one_before_does_not(
    lab: Lab, quota: int, period: int, own_period: int
) -> None:
    lab.put(period=own_period)
    lab.make("child", quota=quota, period=period)
    smallest = offered(lab, quota=1000)
    assert smallest is not None
    lab.write("quota", str(smallest))
    with pytest.raises(OSError, match="Invalid argument"):
        lab.write("quota", str(smallest - 1))


def offered(lab: Lab, *names: str, **values: Any) -> int | None:
    """The quota in the hint of a refusal, which must be one that can be given."""
    match = re.search(r"that fits: --quota ([0-9]+);", refused(lab, *names, **values)[1] or "")
    number = int(match[1]) if match else None
    assert number is None or number >= MIN_QUOTA
    return number


@V1
def test_v1_group_between_limits_goes_through_unlimited(lab: Lab) -> None:
    """Neither order stays between the child's ratio and the parent's."""
    lab.put(quota=50000)
    lab.make("group", quota=50000)
    lab.make("group/child", quota=50000)
    lab.host.writes.clear()
    lab.set("group", quota=5000, period=10000)
    files = [("cpu.cfs_quota_us", "-1"), ("cpu.cfs_period_us", "10000"), ("cpu.cfs_quota_us", "5000")]
    assert lab.written() == [(f"group/{file}", text) for file, text in files]


@V2
def test_v2_takes_a_limit_above_the_ancestors_and_says_which_one_binds(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("between", quota=80000)
    lab.make("between/child")
    outcome = lab.set("between/child", quota=90000)[0]
    assert outcome.notes == (
        f"{lab.name('between/child')}: 0.9 CPUs has no effect beyond 0.5, the limit of its ancestor {lab.path()}",
    )
    assert quotas(lab, "", "between", "between/child") == [50000, 80000, 90000]


def test_a_limit_that_fits_has_no_note(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("child")
    assert lab.set("child", quota=50000)[0].notes == ()


# --- several domains, one transaction ---------------------------------------------------------------------------------

# the quotas before (of "", a, a/b, a/b/c), and the one that all get; in whatever order they are named
FAMILIES = [
    ((50000, 40000, 30000, 20000), 90000),
    ((50000, 40000, 30000, 20000), 10000),
    ((50000, 40000, 30000, 20000), 35000),
    ((50000, None, 30000, None), 90000),
    ((50000, None, 30000, None), 10000),
    ((None, None, None, None), 10000),
    ((50000, 50000, 50000, 50000), UNLIMITED),
]


@pytest.mark.parametrize(("before", "goal"), FAMILIES, ids=str)
@pytest.mark.parametrize("named", [("", "a", "a/b", "a/b/c"), ("a/b/c", "a/b", "a", ""), ("a/b", "", "a/b/c", "a")])
def test_a_family_grows_and_shrinks_in_one_transaction(
    lab: Lab, before: tuple[int | None, ...], goal: object, named: tuple[str, ...]
) -> None:
    for name, quota in zip(("", "a", "a/b", "a/b/c"), before, strict=True):
        lab.make(name, quota=quota) if name else lab.put(quota=quota)
    lab.set(*named, quota=goal)
    assert quotas(lab, *named) == [goal] * 4


def test_two_families_one_growing_one_shrinking(lab: Lab) -> None:
    for name, quota in (("x", 20000), ("x/child", 20000), ("y", 80000), ("y/child", 80000)):
        lab.make(name, quota=quota)
    names = ("x", "x/child", "y", "y/child")
    lab.set(*names, quota=50000)
    assert quotas(lab, *names) == [50000] * 4


@V1
def test_v1_names_the_ancestor_that_stands_in_the_way_of_several(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("a")
    lab.make("b")
    mount = lab.cgroups.hierarchy.mount
    assert refused(lab, "a", "b", quota=60000) == (
        f"{mount}{{group}}/a: quota 60000 with period 100000 (0.6 CPUs) is above the limit of its ancestor {{group}}, "
        "0.5 CPUs (quota 50000 with period 100000); on cgroup v1 the kernel refuses that",
        "the largest that fits: --quota 50000; or raise {group} first",
    )


@V1
def test_v1_names_the_limit_above_all_that_grow_together(lab: Lab) -> None:
    """Not the parent, which would be raised in the same call."""
    lab.put(quota=50000)
    lab.make("a", quota=40000)
    lab.make("a/b", quota=30000)
    mount = lab.cgroups.hierarchy.mount
    assert refused(lab, "a", "a/b", quota=60000) == (
        f"{mount}{{group}}/a: quota 60000 with period 100000 (0.6 CPUs) is above the limit of its ancestor {{group}}, "
        "0.5 CPUs (quota 50000 with period 100000); on cgroup v1 the kernel refuses that",
        "the largest that fits: --quota 50000; or raise {group} first",
    )


@V1
def test_v1_names_the_limit_below_all_that_shrink_together(lab: Lab) -> None:
    lab.put(quota=50000)
    lab.make("a", quota=40000)
    lab.make("a/b", quota=30000)
    mount = lab.cgroups.hierarchy.mount
    assert refused(lab, "", "a", quota=20000) == (
        f"{mount}{{group}}/a: quota 20000 with period 100000 (0.2 CPUs) is below the limit of the group {{group}}/a/b, "
        "0.3 CPUs (quota 30000 with period 100000) inside it; on cgroup v1 the kernel refuses that",
        "the smallest that fits: --quota 30000; or lower {group}/a/b first",
    )


@V2
def test_v2_parent_that_grows_with_its_child_does_not_bind_it(lab: Lab) -> None:
    lab.put(quota=20000)
    lab.make("child", quota=10000)
    assert [outcome.notes for outcome in lab.set("", "child", quota=50000)] == [(), ()]


def test_the_same_domain_twice_is_one(lab: Lab) -> None:
    assert len(lab.set("", "", quota=50000)) == 1
    assert len(lab.written()) == 1


def test_two_names_of_one_cgroup_are_written_once(lab: Lab) -> None:
    pid = lab.spawn()
    lab.host.writes.clear()
    change_domains(lab.tuner, [lab.name(), f"pid:{pid}"], request(quota=50000), "live")
    assert len(lab.written()) == 1
    assert lab.state().quota == 50000
