"""The order of writes. The kernel's rules are written down here once more, so that the model is held against them."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cputune.core.knobs import MAX_QUOTA, UNLIMITED, Quota
from cputune.host.cgroup.bandwidth import Band, Bounds, Limit, fits, largest_quota, path, ratio, smallest_quota

V1 = (("quota",), ("period",), ("burst",))
V2 = (("quota", "period"), ("burst",))

periods = st.sampled_from((1000, 5000, 10000, 50000, 99999, 100000, 100001, 200000, 1000000)) | st.integers(1000, 10**6)
numbers = st.integers(1000, 2_000_000) | st.sampled_from((1000, MAX_QUOTA))
quotas = st.just(UNLIMITED) | numbers
limits = st.builds(Limit, st.just("/other"), numbers, periods)


@st.composite
def bands(draw: st.DrawFn) -> Band:
    quota = draw(quotas)
    highest = 10**6 if quota is UNLIMITED else min(quota, MAX_QUOTA - quota)
    return Band(quota, draw(periods), draw(st.integers(0, highest) | st.just(0)))


def accepted(band: Band, bounds: Bounds) -> bool:
    """tg_set_cfs_bandwidth and tg_cfs_schedulable_down, in whole numbers."""
    quota, period, burst = band
    if quota is UNLIMITED:
        return True
    if burst > quota or quota + burst > MAX_QUOTA:
        return False
    own = (quota << 20) // period
    above, below = bounds
    if above and own > (above.quota << 20) // above.period:
        return False
    return not (below and (below.quota << 20) // below.period > own)


def cap(band: Band) -> float:
    return float("inf") if band.quota is UNLIMITED else band.quota / band.period


def orders(before: Band, goal: Band, moves: tuple[tuple[str, ...], ...]) -> list[list[Band]]:
    """Every way to set what differs, one write for each."""
    found = []
    for order in permutations([move for move in moves if any(getattr(before, f) != getattr(goal, f) for f in move)]):
        states = [before]
        for move in order:
            states.append(states[-1]._replace(**{field: getattr(goal, field) for field in move}))
        found.append(states[1:])
    return found


def fields_written(one: Band, other: Band) -> set[str]:
    return {field for field in Band._fields if getattr(one, field) != getattr(other, field)}


worlds = st.tuples(
    bands(), bands(), st.builds(Bounds, st.none() | limits, st.none() | limits), st.sampled_from((V1, V2))
)


@given(worlds)
def test_every_state_on_the_way_is_legal_and_the_last_is_the_goal(
    world: tuple[Band, Band, Bounds, tuple[tuple[str, ...], ...]],
) -> None:
    before, goal, bounds, moves = world
    assume(accepted(before, bounds))
    states = path(before, goal, moves, bounds)
    if not accepted(goal, bounds):
        assert states is None
        return
    assert states is not None
    assert all(accepted(band, bounds) for band in states)
    assert [before, *states][-1] == goal


@given(worlds)
def test_one_write_changes_what_one_file_holds(
    world: tuple[Band, Band, Bounds, tuple[tuple[str, ...], ...]],
) -> None:
    before, goal, bounds, moves = world
    assume(accepted(before, bounds))
    assume(accepted(goal, bounds))
    for old, new in pairwise([before, *(path(before, goal, moves, bounds) or [])]):
        written = fields_written(old, new)
        assert written
        assert any(written <= set(move) for move in moves)


@given(worlds)
def test_the_limit_is_lifted_only_where_nothing_else_is_legal_and_otherwise_nothing_is_written_twice(
    world: tuple[Band, Band, Bounds, tuple[tuple[str, ...], ...]],
) -> None:
    before, goal, bounds, moves = world
    assume(accepted(before, bounds))
    assume(accepted(goal, bounds))
    states = path(before, goal, moves, bounds)
    assert states is not None
    legal = [found for found in orders(before, goal, moves) if all(accepted(band, bounds) for band in found)]
    if legal:
        assert states in legal
        least = min(max(0.0, max(map(cap, [before, *found])) - max(cap(before), cap(goal))) for found in legal)
        if least == 0:
            assert all(cap(band) <= max(cap(before), cap(goal)) for band in states)
    else:
        assert UNLIMITED in [band.quota for band in states]
        assert len(states) <= len(moves) + 1


@given(bands(), st.builds(Bounds, st.none() | limits, st.none() | limits), st.sampled_from((V1, V2)))
def test_nothing_is_written_where_nothing_differs(
    band: Band, bounds: Bounds, moves: tuple[tuple[str, ...], ...]
) -> None:
    assert path(band, band, moves, bounds) == []


@given(bands(), bands())
def test_a_group_without_other_groups_never_has_its_limit_lifted(before: Band, goal: Band) -> None:
    for moves in (V1, V2):
        states = path(before, goal, moves, Bounds())
        assert states is not None
        if before.quota is not UNLIMITED and goal.quota is not UNLIMITED:
            assert all(band.quota is not UNLIMITED for band in states)


@given(bands(), bands())
def test_a_leaf_stays_between_the_old_limit_and_the_new(before: Band, goal: Band) -> None:
    """The rule that held in 3000 of 3000 trials: never above both, so that no ancestor's limit is in the way."""
    states = path(before, goal, V1, Bounds())
    assert states is not None
    assert all(cap(band) <= max(cap(before), cap(goal)) for band in states)


@pytest.mark.parametrize(
    ("before", "goal", "bounds", "states"),
    [
        # to the kernel's 20 bits both limits are one, and the quota first would be above both
        ((1000, 999643, 0), (1001, 1000000, 0), None, [(1000, 1000000, 0), (1001, 1000000, 0)]),
        # shrinking: the burst goes first, growing: last
        ((50000, 100000, 40000), (20000, 100000, 10000), None, [(50000, 100000, 10000), (20000, 100000, 10000)]),
        ((20000, 100000, 10000), (50000, 100000, 40000), None, [(50000, 100000, 10000), (50000, 100000, 40000)]),
        # a longer period: period first; a shorter one: quota first
        ((20000, 100000, 0), (90000, 200000, 0), 50000, [(20000, 200000, 0), (90000, 200000, 0)]),
        ((90000, 200000, 0), (20000, 50000, 0), 50000, [(20000, 200000, 0), (20000, 50000, 0)]),
        # from and to no limit
        ((UNLIMITED, 100000, 0), (5000, 10000, 0), 50000, [(UNLIMITED, 10000, 0), (5000, 10000, 0)]),
        ((5000, 10000, 0), (UNLIMITED, 100000, 0), 50000, [(UNLIMITED, 10000, 0), (UNLIMITED, 100000, 0)]),
    ],
)
def test_the_known_cases(
    before: tuple[Quota, int, int],
    goal: tuple[Quota, int, int],
    bounds: int | None,
    states: list[tuple[Quota, int, int]],
) -> None:
    above = Limit("/parent", bounds, 100000) if bounds else None
    assert path(Band(*before), Band(*goal), V1, Bounds(above)) == [Band(*state) for state in states]


def test_a_group_between_a_parent_and_a_child_of_its_own_ratio_goes_through_no_limit() -> None:
    bounds = Bounds(Limit("/parent", 50000, 100000), Limit("/parent/child/inner", 50000, 100000))
    assert path(Band(50000, 100000, 0), Band(5000, 10000, 0), V1, bounds) == [
        Band(UNLIMITED, 100000, 0),
        Band(UNLIMITED, 10000, 0),
        Band(5000, 10000, 0),
    ]


def test_version_2_sets_quota_and_period_in_one_write() -> None:
    assert path(Band(50000, 100000, 0), Band(5000, 10000, 0), V2, Bounds()) == [Band(5000, 10000, 0)]


@given(limits, periods)
def test_the_largest_quota_is_exactly_the_edge(limit: Limit, period: int) -> None:
    largest = largest_quota(limit, period)
    bounds = Bounds(ancestor=limit)
    assert accepted(Band(largest, period, 0), bounds) or largest > MAX_QUOTA
    assert not accepted(Band(largest + 1, period, 0), bounds)


@given(limits, periods)
def test_the_smallest_quota_is_exactly_the_edge(limit: Limit, period: int) -> None:
    smallest = smallest_quota(limit, period)
    bounds = Bounds(descendant=limit)
    assert accepted(Band(smallest, period, 0), bounds) or smallest > MAX_QUOTA
    assert not accepted(Band(smallest - 1, period, 0), bounds)


@given(bands(), st.builds(Bounds, st.none() | limits, st.none() | limits))
def test_what_fits_is_what_the_kernel_takes(band: Band, bounds: Bounds) -> None:
    assert fits(band, bounds) == accepted(band, bounds)


@pytest.mark.parametrize(
    ("band", "whether"),
    [
        (Band(50000, 100000, 50000), True),
        (Band(50000, 100000, 50001), False),
        (Band(UNLIMITED, 100000, 10**9), True),
        (Band(MAX_QUOTA, 100000, 0), True),
        (Band(MAX_QUOTA, 100000, 1), False),
    ],
)
def test_bursts_that_the_kernel_takes(band: Band, whether: bool) -> None:
    assert fits(band, Bounds()) is whether


def test_no_limit_is_above_every_other() -> None:
    assert ratio(UNLIMITED, 1000) > ratio(MAX_QUOTA, 1000)
