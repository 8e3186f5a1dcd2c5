"""Options -> a request, and what excludes what."""

from __future__ import annotations

from typing import Any

import pytest

from cputune.cli.commands.schedinfo import assignments_of
from cputune.cli.options import need_something, refuse_idle_weight, request_from_texts, request_of, where_of
from cputune.core.errors import UsageError
from cputune.core.knobs import KNOBS, UNLIMITED
from cputune.core.model import Change, Request

HELP = "cputune set --help"
KNOWN = f"known: {', '.join(knob.virsh for knob in KNOBS if knob.virsh)}"


def test_options_become_a_change() -> None:
    values: dict[str, Any] = {"shares": "512", "period": "50000", "quota": "unlimited", "burst": "0", "idle": None}
    assert request_of(values) == Request(Change(shares=512, period=50000, quota=UNLIMITED, burst=0))
    assert request_of({"weight": "50", "idle": False}) == Request(Change(weight=50, idle=False))
    assert request_of({"cpus": "1.5", "period": "50000"}) == Request(Change(period=50000, cpus=1_500_000))
    assert request_of({}) == Request(Change())


def test_zero_is_no_value_except_for_the_burst() -> None:
    zeros = {"shares": "0", "period": "0", "quota": "0", "burst": "0"}
    assert request_of(zeros) == Request(Change(burst=0), frozenset({"shares", "period", "quota"}))


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        (
            {"shares": "512", "weight": "50"},
            "--shares and --weight are mutually exclusive: they are two units of one thing",
            None,
        ),
        (
            {"quota": "50000", "cpus": "1"},
            "--quota and --cpus are mutually exclusive: they are two units of one thing",
            None,
        ),
        ({"quota": "500"}, "--quota: '500' is not in range: 1000..17592186044415 microseconds, or unlimited", HELP),
        ({"cpus": "no"}, "--cpus: 'no' is not in range: 0.000001..999999999 CPUs, or unlimited", HELP),
    ],
)
def test_options_that_cannot_be_meant(values: dict[str, str], message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        request_of(values)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("key", ["shares", "weight"])
def test_idle_with_a_weight(key: str) -> None:
    with pytest.raises(UsageError) as by_option:
        request_of({key: "50", "idle": True})
    with pytest.raises(UsageError) as by_assignment:
        assignments_of((f"cpu_{key}=50", "cpu_idle=1"))
    for error in (by_option.value, by_assignment.value):
        assert error.message == "an idle group has no shares and no weight"
        assert error.hint == "give either idle or a weight"
    assert request_of({key: "50", "idle": False}).change.named() == {key: 50, "idle": False}
    assert assignments_of((f"cpu_{key}=50", "cpu_idle=0")) == Request(Change(**{key: 50}, idle=False))


@pytest.mark.parametrize("change", [Change(), Change(idle=True), Change(weight=50), Change(shares=5, idle=False)])
def test_what_is_idle_or_has_a_weight(change: Change) -> None:
    assert refuse_idle_weight(Request(change)) == Request(change)


def test_a_request_for_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        need_something(Request(Change()))
    assert caught.value.message == "nothing to set: give at least one limit"
    assert caught.value.hint == "cputune set mydom --cpus 1.5 --live"
    for request in (Request(Change(burst=0)), Request(Change(), frozenset({"quota"})), Request(Change(cpus=1))):
        assert need_something(request) is request


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        ((False, False, False), "current"),
        ((False, False, True), "current"),
        ((True, False, False), "live"),
        ((False, True, False), "config"),
        ((True, True, False), "both"),
    ],
)
def test_the_three_flags(flags: tuple[bool, bool, bool], where: str) -> None:
    assert where_of(*flags) == where


@pytest.mark.parametrize(
    ("live", "config", "message"),
    [
        (True, False, "options --current and --live are mutually exclusive"),
        (False, True, "options --current and --config are mutually exclusive"),
        (True, True, "options --current and --live are mutually exclusive"),
    ],
)
def test_current_with_another_flag(live: bool, config: bool, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        where_of(live, config, True)
    assert caught.value.message == message


def test_assignments_as_in_virsh() -> None:
    assert assignments_of(()) is None
    assert assignments_of(("cpu_shares=512", "vcpu_quota=-1")) == Request(Change(shares=512, quota=UNLIMITED))
    assert assignments_of(("vcpu_period=0",)) == Request(Change(), frozenset({"period"}))
    assert assignments_of(("cpu_weight=50", "vcpu_burst=0", "cpu_idle=0")) == Request(
        Change(weight=50, burst=0, idle=False)
    )
    assert assignments_of(("vcpu_burst=0", "cpu_idle=1")) == Request(Change(burst=0, idle=True))
    assert assignments_of(("vcpu_quota=5000", "vcpu_quota=6000")) == Request(Change(quota=6000))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "vcpu_quota",
            "invalid syntax for --set, expecting name=value: vcpu_quota",
            "cputune schedinfo mydom --set cpu_shares=512",
        ),
        (
            "nosuch=1",
            "invalid scheduler option: nosuch",
            KNOWN,
        ),
        ("=5", "invalid scheduler option: ", KNOWN),
        ("vcpu_quota=", "vcpu_quota: '' is not in range: 1000..17592186044415 microseconds, or unlimited", HELP),
        ("vcpu_period=999", "vcpu_period: '999' is not in range: 1000..1000000 microseconds", HELP),
        ("cpu_idle=2", "cpu_idle: '2' is not in range: true or false", HELP),
    ],
)  # fmt: skip
def test_assignments_that_are_none(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        assignments_of((text,))
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_assignments_that_exclude_each_other() -> None:
    with pytest.raises(UsageError) as caught:
        assignments_of(("cpu_shares=512", "cpu_weight=50"))
    assert caught.value.message == ("cpu_shares and cpu_weight are mutually exclusive: they are two units of one thing")


def test_a_label_says_where_a_text_came_from() -> None:
    with pytest.raises(UsageError, match=r"^here: 'x' is not in range"):
        request_from_texts({"shares": "x"}, {"shares": "here"})
