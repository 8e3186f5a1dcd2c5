"""What domains use, and who holds them back, between two readings."""

from __future__ import annotations

import pytest

from cputune.app.sampling import Sample, sample_of, throttled_share
from cputune.core.model import Stats


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        (Stats(0, 100, 10), Stats(0, 200, 35), 0.25),
        (Stats(0, 100, 10), Stats(0, 100, 10), None),  # no period: no limit, or nothing to do
        (Stats(0, 100, 10), Stats(0, 5, 1), None),  # the cgroup was made anew
        (Stats(), Stats(0, 5, 1), None),
    ],
)
def test_the_share_of_periods_that_were_throttled(before: Stats, after: Stats, share: float | None) -> None:
    assert throttled_share(before, after) == share


def test_a_sample_names_who_held_it_back_most() -> None:
    before = {"/a/b": Stats(0, 0, 0), "/a": Stats(0, 0, 0)}
    after = {"/a/b": Stats(500_000, 10, 1), "/a": Stats(9, 10, 5)}
    assert sample_of("/a/b", before, after, 1.0) == Sample(0.5, 0.5, "/a")
    assert sample_of("/a/b", before, before, 1.0) == Sample(0.0, None, None)
    assert sample_of("/gone", before, after, 1.0).cpus is None
    assert sample_of("/a/b", before, {"/a/b": Stats(1, 10, 0)}, 1.0).by is None
