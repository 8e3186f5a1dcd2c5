"""When the guard looks again at a cgroup: soon at first, less often later, and again when something happens."""

from __future__ import annotations

from cputune.guard import pending
from cputune.guard.pending import IDENTIFY_SECONDS, Pending


def delays(wait: Pending, after: str, times: int) -> list[float]:
    """The seconds until each of the next looks, where every one of them ends like this."""
    found = []
    for _ in range(times):
        now = wait.due
        wait = getattr(wait, after)(now)
        found.append(round(wait.due - now, 3))
    return found


def test_a_cgroup_is_looked_at_at_once_and_then_less_and_less_often() -> None:
    wait = pending.new(100.0)
    assert wait.due == 100.0
    assert delays(wait, "unidentified", 8) == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.2, 0.2]


def test_an_error_that_may_pass_is_waited_for_a_little_longer() -> None:
    assert delays(pending.new(100.0), "failed", 5) == [0.05, 0.1, 0.2, 0.2, 0.2]


def test_limits_that_were_refused_are_tried_again_every_now_and_then() -> None:
    assert delays(pending.new(100.0), "rejected", 7) == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    assert not pending.new(100.0).refused
    assert pending.new(100.0).rejected(100.0).refused


def test_when_a_limit_above_has_changed_they_are_tried_at_once_and_the_waiting_begins_anew() -> None:
    wait = pending.new(100.0).rejected(100.0).rejected(130.0).retried(140.0)
    assert (wait.due, wait.refused) == (140.0, True)
    assert delays(wait, "rejected", 2) == [30.0, 60.0]


def test_when_its_runtime_writes_to_it_the_cgroup_is_looked_at_at_once() -> None:
    wait = pending.new(100.0).unidentified(100.0).unidentified(100.005).woken(101.0)
    assert (wait.since, wait.due) == (100.0, 101.0)
    assert delays(wait, "unidentified", 2) == [0.005, 0.01]


def test_for_how_long_a_runtime_may_be_about_to_record_it() -> None:
    wait = pending.new(100.0).unidentified(100.0)
    assert wait.is_fresh(100.0 + IDENTIFY_SECONDS)
    assert not wait.is_fresh(100.1 + IDENTIFY_SECONDS)
