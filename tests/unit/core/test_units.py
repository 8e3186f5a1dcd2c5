"""Conversions between units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cputune.core.errors import UsageError
from cputune.core.knobs import MAX_QUOTA
from cputune.core.model import Scale
from cputune.core.units import (
    nearest_weight,
    parse_integer,
    quota_for,
    shares_of_weight,
    weight_of_shares,
)


@given(st.integers(-(10**20) + 1, 10**20 - 1))
def test_every_number_is_read_as_itself(number: int) -> None:
    assert parse_integer(str(number)) == number


@given(st.text())
def test_no_other_text_is_a_number(text: str) -> None:
    number = parse_integer(text)
    assert number is None or (text.isascii() and text.removeprefix("-").isdigit() and number == int(text))


@pytest.mark.parametrize(
    ("micro", "period", "quota"),
    [
        (1_500_000, 100_000, 150_000),
        (500_000, 50_000, 25_000),
        (333_333, 100_000, 33_333),
        (666_667, 100_000, 66_667),
        (10_000, 100_000, 1_000),
        (1, 1_000_000, None),
    ],
)
def test_the_quota_for_some_cpus(micro: int, period: int, quota: int | None) -> None:
    if quota is not None:
        assert quota_for(micro, period) == quota
        return
    with pytest.raises(UsageError) as caught:
        quota_for(micro, period)
    assert caught.value.message == "--cpus: 0.000001 is a quota of 1 with a period of 1000000, below 1000"
    assert caught.value.hint is None


def test_too_few_cpus_for_a_period_name_one_that_fits() -> None:
    with pytest.raises(UsageError) as caught:
        quota_for(5_000, 100_000)
    assert caught.value.message == "--cpus: 0.005 is a quota of 500 with a period of 100000, below 1000"
    assert caught.value.hint == "give a longer period: --period 200000"


@given(st.integers(1, 10**9), st.integers(1000, 1_000_000))
def test_the_quota_is_the_nearest_there_is_or_the_hint_leads_to_one(micro: int, period: int) -> None:
    try:
        quota = quota_for(micro, period)
    except UsageError as error:
        if error.hint:
            fitting = int(error.hint.rpartition(" ")[2])
            assert quota_for(micro, fitting) >= 1000
            assert fitting == 1000 or micro * (fitting - 1) < 1000 * 1_000_000
        return
    assert abs(quota * 1_000_000 - micro * period) <= 500_000


def test_too_many_cpus() -> None:
    assert quota_for(17_592_186_044_415, 1_000_000) == MAX_QUOTA
    for micro, shown, quota in (
        (17_592_186_044_416, "17592186.044416", 17592186044416),
        (10**15 - 1, "999999999.999999", 999999999999999),
    ):
        with pytest.raises(UsageError) as caught:
            quota_for(micro, 1_000_000)
        assert caught.value.message == (
            f"--cpus: {shown} is a quota of {quota} with a period of 1000000, above 17592186044415"
        )
        assert caught.value.hint is None


# The column "kernel-exact" of the facts: what Linux itself makes of a number of shares, at least 1.
@pytest.mark.parametrize(
    ("shares", "weight"), [(2, 1), (102, 10), (512, 50), (1024, 100), (2048, 200), (10240, 1000), (102400, 10000)]
)
def test_shares_as_weight_by_the_kernels_own_proportion(shares: int, weight: int) -> None:
    assert weight_of_shares(shares, Scale.KERNEL) == weight
    assert nearest_weight(shares) == weight


def test_libvirt_takes_shares_for_the_weight_itself() -> None:
    assert [weight_of_shares(number, Scale.WEIGHT) for number in (2, 1024, 10000)] == [2, 1024, 10000]
    assert [shares_of_weight(number, Scale.WEIGHT) for number in (1, 100, 10000)] == [1, 100, 10000]


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (
            Scale.KERNEL,
            "--shares: 262144 would be weight 25600 on cgroup v2, whose largest is 10000 (102400 shares)",
        ),
        (Scale.WEIGHT, "--shares: 262144 is not in range: 1..10000 (libvirt's shares on cgroup v2)"),
    ],
)
def test_more_shares_than_any_weight(scale: Scale, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        weight_of_shares(262144, scale)
    assert caught.value.message == message


def test_the_nearest_weight_is_never_above_the_largest() -> None:
    assert nearest_weight(262144) == 10000


@given(st.integers(1, 10000))
def test_a_weight_survives_the_way_through_shares(weight: int) -> None:
    assert weight_of_shares(shares_of_weight(weight), Scale.KERNEL) == weight


@given(st.integers(2, 102400), st.integers(2, 102400))
def test_more_shares_are_never_less_weight(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert weight_of_shares(small, Scale.KERNEL) <= weight_of_shares(large, Scale.KERNEL)


OCI_TABLE = [  # shares, weight by the curve, weight in proportion: the table of runc's own tests and of its change log
    (2, 1, 1),
    (102, 17, 4),
    (512, 59, 20),
    (1024, 100, 39),
    (2048, 174, 79),
    (10240, 639, 391),
    (262144, 10000, 10000),
]


@pytest.mark.parametrize(("shares", "curve", "linear"), OCI_TABLE)
def test_shares_as_oci_runtimes_convert_them(shares: int, curve: int, linear: int) -> None:
    assert weight_of_shares(shares, Scale.OCI) == curve
    assert weight_of_shares(shares, Scale.OCI_LINEAR) == linear


@pytest.mark.parametrize("scale", [Scale.OCI, Scale.OCI_LINEAR])
def test_every_weight_has_shares_that_become_it_again(scale: Scale) -> None:
    assert [weight_of_shares(shares_of_weight(weight, scale), scale) for weight in range(1, 10001)] == [
        *range(1, 10001)
    ]


def test_the_usual_weight_is_the_usual_shares_on_the_curve() -> None:
    assert shares_of_weight(100, Scale.OCI) == 1024
    assert shares_of_weight(39, Scale.OCI_LINEAR) == 1024
    assert shares_of_weight(0, Scale.OCI) == 2  # what Linux 6.1 reads in an idle group
