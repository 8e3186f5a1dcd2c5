"""When the guard gives in."""

from __future__ import annotations

from cputune.guard.backoff import Backoff


def test_three_times_in_a_minute_and_no_more() -> None:
    backoff = Backoff()
    assert [backoff.allows_repair("web", "systemd", second) for second in (0.0, 20.0, 40.0, 59.0, 1000.0)] == [
        *[True] * 3,
        *[False] * 2,
    ]
    assert backoff.is_left_alone("web")
    assert not backoff.is_left_alone("db")
    backoff.reset("web")
    assert backoff.allows_repair("web", "systemd", 1001.0)


def test_what_is_longer_ago_and_what_others_do_counts_by_itself() -> None:
    backoff = Backoff()
    assert all(backoff.allows_repair("web", "systemd", second) for second in range(0, 3000, 25))
    assert all(backoff.allows_repair("web", writer, 3000.0) for writer in ("docker", "podman", "somebody", "else"))
