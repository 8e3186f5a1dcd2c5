"""The table of knobs: what each takes, and how it is written, wherever that is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cputune
from cputune.core.errors import UsageError
from cputune.core.knobs import (
    BANDWIDTH,
    IN_KERNEL,
    KNOB,
    KNOBS,
    LIMIT,
    MAX_QUOTA,
    UNLIMITED,
    WEIGHT,
    Amount,
    Knob,
    Value,
    with_groups,
    with_pair,
)
from cputune.core.model import Change, CpuTune, KnobValues
from tests.support.strategies import values_of

RANGES = {
    "shares": "2..262144",
    "weight": "1..10000",
    "period": "1000..1000000 microseconds",
    "quota": "1000..17592186044415 microseconds, or unlimited",
    "cpus": "0.000001..999999999 CPUs, or unlimited",
    "burst": "0..quota microseconds",
    "idle": "true or false",
}
each_knob = pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.key)


def refusal(knob: Knob, text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        knob.parse(text)
    return caught.value


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "words"), RANGES.items())
def test_ranges_in_words(key: str, words: str) -> None:
    assert KNOB[key].range == words


@each_knob
def test_a_row_agrees_with_itself(knob: Knob) -> None:
    assert knob.kind.fits(knob.default)
    assert knob.option == f"--{knob.key}"
    assert knob.identifier.isidentifier()
    assert knob.metavar
    assert knob.help.endswith(".")
    assert knob.virsh or not knob.in_virsh
    assert not knob.alternative or KNOB[knob.alternative].alternative == knob.key
    assert knob.kernel_key in IN_KERNEL


def test_the_names_of_rows_are_their_own() -> None:
    for names in ([knob.key for knob in KNOBS], [knob.name for knob in KNOBS], [knob.identifier for knob in KNOBS]):
        assert len(set(names)) == len(names)
    assert [knob.virsh for knob in KNOBS if knob.in_virsh] == ["cpu_shares", "vcpu_period", "vcpu_quota"]


def test_groups() -> None:
    assert BANDWIDTH == ("period", "quota", "burst")
    assert WEIGHT == ("shares", "weight", "idle")
    assert sorted((*LIMIT, *WEIGHT)) == sorted(IN_KERNEL)
    assert set(BANDWIDTH) <= set(LIMIT)
    assert with_groups(["burst"]) == BANDWIDTH
    assert with_groups(["quota", "idle"]) == WEIGHT + BANDWIDTH
    assert with_groups([]) == ()
    assert with_pair({"period"}, frozenset(("quota", "period"))) == {"quota", "period"}
    assert with_pair({"burst"}, frozenset(("quota", "period"))) == {"burst"}


# --- texts ------------------------------------------------------------------------------------------------------------


@each_knob
@given(data=st.data())
def test_what_is_written_is_read_back_as_the_same(knob: Knob, data: st.DataObject) -> None:
    value = data.draw(values_of(knob))
    text = knob.format(value)
    assert knob.parse(text) == value
    assert type(knob.parse(text)) is type(value)
    assert text == text.strip()
    assert text.isascii()


@each_knob
@given(text=st.text() | st.from_regex(r"-?[0-9.]{0,9}(us|ms|s|%|m|)", fullmatch=True))
def test_what_is_read_is_in_the_range_or_the_error_says_it(knob: Knob, text: str) -> None:
    value = knob.kind.read(text)
    if value is not None and (knob.kind.fits(value) or (knob.zero_is_none and value == 0)):
        assert knob.parse(text) == value
    else:
        assert refusal(knob, text).message == f"{knob.option}: {text!r} is not in range: {knob.range}"


NEVER = (
    "", " ", "abc", "-", "--5000", "+5000", " 5000", "5000 ", "5000\n", "\t5000", "5000abc", "5000;", "1_000", "5,000",
    "1e3", "5e4", "1E3", "0x10", "0b1", "0o7", "nan", "inf", "null", "unlimited ", "MAX", "Unlimited", "-max",
    "٣٠٠٠", "５０００", "٣", "½", "²", "1.5x", " 50ms", "5 0ms", "50 ms", "50ms ", "50MS", "50msec", "50m s", "ms", "s",
    "%", "m", "50%%", "150 %", ".", "5.", ".ms", "1..5", "1.5.5", "1,5", "9" * 21,
    "9" * 30, "9" * 5000, "1." + "0" * 40,
    "-1ms", "-0", "-1.5", "5000\0", "0.0000001", "0" * 33,
)  # fmt: skip


@pytest.mark.parametrize("knob", [knob for knob in KNOBS if not knob.kind.is_flag], ids=lambda knob: knob.key)
@pytest.mark.parametrize("text", NEVER)
def test_what_is_no_amount_is_refused_with_the_range(knob: Knob, text: str) -> None:
    error = refusal(knob, text)
    assert error.message == f"{knob.option}: {text!r} is not in range: {knob.range}"
    assert error.hint == "cputune set --help"


@pytest.mark.parametrize(
    ("key", "fitting", "not_fitting"),
    [
        ("shares", (0, 2, 1024, 262144), (-1, 1, 262145)),
        ("weight", (0, 1, 100, 10000), (-1, 10001)),
        ("period", (0, 1000, 100000, 1000000), (-1, 1, 999, 1000001)),
        ("quota", (0, 1000, 50000, MAX_QUOTA), (1, 999, MAX_QUOTA + 1, 2**64 - 1)),
        ("burst", (0, 1, 50000, MAX_QUOTA), (-1, MAX_QUOTA + 1)),
        ("idle", (0, 1), (-1, 2)),
    ],
)
def test_ranges(key: str, fitting: tuple[int, ...], not_fitting: tuple[int, ...]) -> None:
    assert [KNOB[key].parse(str(number)) for number in fitting] == list(fitting)
    for number in not_fitting:
        refusal(KNOB[key], str(number))


@pytest.mark.parametrize("key", ["quota", "cpus"])
def test_no_limit(key: str) -> None:
    assert KNOB[key].parse("unlimited") is KNOB[key].parse("max") is UNLIMITED
    assert KNOB[key].format(UNLIMITED) == "unlimited"


def test_a_negative_quota_is_no_limit_as_in_libvirt() -> None:
    assert {KNOB["quota"].parse(text) for text in ("-1", "-2", "-17592186044416")} == {UNLIMITED}
    for key in ("cpus", "period", "burst", "shares"):
        refusal(KNOB[key], "-1")


@pytest.mark.parametrize("key", ["quota", "period", "burst"])
@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("50000", 50000), ("50000us", 50000), ("50ms", 50000), ("0.05s", 50000), (".05s", 50000), ("1s", 1000000),
        ("1.5ms", 1500), ("1.001ms", 1001), ("0.001001s", 1001), ("1.000000s", 1000000), ("007ms", 7000),
    ],
)  # fmt: skip
def test_times(key: str, text: str, microseconds: int) -> None:
    assert KNOB[key].parse(text) == microseconds


@pytest.mark.parametrize("key", ["quota", "period", "burst"])
@pytest.mark.parametrize(
    "text", ["5000.0", "5000.5", "5000.0us", "1.0001ms", "0.0010001s", "1m", "5000%", "1min", "1h"]
)
def test_what_is_no_whole_number_of_microseconds(key: str, text: str) -> None:
    refusal(KNOB[key], text)


def test_a_time_of_zero_is_no_value_where_zero_is() -> None:
    assert (KNOB["quota"].parse("0ms"), KNOB["period"].parse("0s"), KNOB["burst"].parse("0us")) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("1", 1_000_000), ("1.5", 1_500_000), (".5", 500_000), ("0.1", 100_000), ("0.000001", 1),
        ("2.000000", 2_000_000), ("0.3", 300_000),  # a binary fraction would be 299999 or 300000 by luck
        ("007.250", 7_250_000), ("0.5000000", 500_000), ("999999999", 999_999_999_000_000),
        ("150%", 1_500_000), ("0.5%", 5_000), ("33.3333%", 333_333), (".0001%", 1),
        ("1500m", 1_500_000), ("1m", 1_000), ("0.5m", 500), ("0.001m", 1),
    ],
)  # fmt: skip
def test_cpus(text: str, micro: int) -> None:
    assert KNOB["cpus"].parse(text) == micro


@pytest.mark.parametrize(
    "text",
    ["0", "0.0", "0%", "0m", "0.0%", "-1", "1.", "1000000000", "999999999.000001", "1.0000001", "33.33333%", "0.0001m",
     "50ms", "1s", "100us"],
)  # fmt: skip
def test_what_is_no_number_of_cpus(text: str) -> None:
    assert refusal(KNOB["cpus"], text).message == f"--cpus: {text!r} is not in range: {RANGES['cpus']}"


@pytest.mark.parametrize(
    ("texts", "value"),
    [(("1", "true", "on", "yes", "True", "ON"), True), (("0", "false", "off", "no", "FALSE", "Off"), False)],
)
def test_flags(texts: tuple[str, ...], value: bool) -> None:
    assert {KNOB["idle"].parse(text) for text in texts} == {value}
    for text in ("", " true", "true ", "y", "n", "01", "-1", "2", "t", "unset", "１"):
        refusal(KNOB["idle"], text)


def test_where_a_text_came_from_and_what_to_do() -> None:
    with pytest.raises(UsageError) as caught:
        KNOB["quota"].parse("999", "vcpu_quota", "$EDITOR f")
    assert caught.value.message == f"vcpu_quota: '999' is not in range: {RANGES['quota']}"
    assert caught.value.hint == "$EDITOR f"


@pytest.mark.parametrize(
    ("key", "value", "text", "number"),
    [
        ("quota", 50000, "50000", 50000), ("quota", UNLIMITED, "unlimited", -1), ("quota", None, "unset", None),
        ("cpus", 1_500_000, "1.5", 1.5), ("cpus", 2_000_000, "2", 2.0), ("cpus", 1, "0.000001", 0.000001),
        ("cpus", 10_000_000, "10", 10.0), ("cpus", UNLIMITED, "unlimited", -1),
        ("idle", True, "true", True), ("idle", False, "false", False), ("idle", None, "unset", None),
        ("burst", 0, "0", 0), ("weight", 0, "0", 0),
    ],
)  # fmt: skip
def test_one_value_in_words_and_for_scripts(key: str, value: Value, text: str, number: float | None) -> None:
    assert KNOB[key].format(value) == text
    assert KNOB[key].number(value) == number
    assert type(KNOB[key].number(value)) is type(number)


def test_the_value_of_a_kind_that_is_out_of_range_is_one_all_the_same() -> None:
    """The kernel has such: a weight of 0 in an idle group, before Linux 6.2."""
    assert KNOB["weight"].kind.can_be(0)
    assert KNOB["weight"].kind.read("0") == 0
    assert not KNOB["weight"].kind.fits(0)
    for value in (True, None, UNLIMITED):
        assert not KNOB["weight"].kind.can_be(value)
    assert not KNOB["idle"].kind.can_be(1)


def test_a_kind_with_a_unit_of_its_own() -> None:
    percent = Amount(0, 10000, "percent", scale=100, unlimited=True)
    assert percent.range == "0..100 percent, or unlimited"
    assert [percent.read(text) for text in ("20", "20.00", "33.33", "max", "20.005")] == [
        2000,
        2000,
        3333,
        UNLIMITED,
        None,
    ]
    assert [percent.format(value) for value in (2000, 3333, 3330, 5, UNLIMITED)] == [
        "20",
        "33.33",
        "33.3",
        "0.05",
        "unlimited",
    ]


# --- values by key ----------------------------------------------------------------------------------------------------


def test_values_by_key() -> None:
    change = Change(idle=False, quota=UNLIMITED, shares=512, weight=None)
    assert change.named() == {"shares": 512, "quota": UNLIMITED, "idle": False}
    assert list(change.named()) == ["shares", "quota", "idle"]
    assert (change["shares"], change["weight"], change["idle"]) == (512, None, False)
    assert (change.shares, change.weight, change.period, change.quota) == (512, None, None, UNLIMITED)
    assert (change.burst, change.idle, change.cpus) == (None, False, None)
    assert repr(change) == "Change(shares=512, quota=<Unlimited.UNLIMITED: 'unlimited'>, idle=False)"


@pytest.mark.parametrize(("kind", "key"), [(Change, "limit"), (CpuTune, "limit"), (CpuTune, "cpus")])
def test_a_key_that_is_no_knob(kind: type[KnobValues], key: str) -> None:
    with pytest.raises(TypeError, match=f"^no knobs: {key}$"):
        kind(**{key: 1})
    with pytest.raises(TypeError, match=f"^no knobs: {key}$"):
        kind().replace(**{key: 1})
    with pytest.raises(KeyError):
        kind()[key]


def test_values_are_equal_where_all_of_them_and_their_kind_are() -> None:
    assert Change(shares=512, quota=None) == Change(shares=512)
    assert hash(Change(shares=512, idle=True)) == hash(Change(idle=True, shares=512))
    assert Change(shares=512) != CpuTune(shares=512)
    assert Change(shares=512) != Change(shares=513)


def test_values_do_not_change() -> None:
    change = Change(shares=512)
    assert change.replace(shares=None, quota=5000) == Change(quota=5000)
    assert change.replace_from(CpuTune(quota=5000), ("shares", "quota")) == Change(quota=5000)
    assert change.only(("quota", "idle")) == Change()
    assert change.updated(Change(weight=50, idle=True)) == Change(weight=50, idle=True)
    assert change.differing(Change(shares=512, idle=False, period=5000)) == ("period", "idle")
    assert change == Change(shares=512)
    with pytest.raises(AttributeError):
        change.shares = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        change.other = 5  # type: ignore[attr-defined]


# --- nobody else asks which knob it is --------------------------------------------------------------------------------

RULES = {
    "core/knobs.py", "core/goals.py", "core/units.py",
    "host/cgroup/bandwidth.py", "host/cgroup/plan.py", "host/cgroup/v1.py", "host/cgroup/v2.py",
}  # fmt: skip
"""The rows, and the rules of the kernel, which are about knobs of their names."""


def compared(tree: ast.AST) -> list[tuple[int, str]]:
    """Where code compares something with the key of a knob: by ==, !=, in, or match."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts = [leaf for part in (node.left, *node.comparators) for leaf in leaves(part)]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        else:
            continue
        keys = [part.value for part in parts if isinstance(part, ast.Constant) and part.value in KNOB]
        found += [(node.lineno, str(key)) for key in keys]
    return found


def leaves(node: ast.expr) -> list[ast.expr]:
    """What is compared with: a value, or each of those in a tuple, a list, a set, or a set made of one of these."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return node.elts
    if isinstance(node, ast.Call) and node.args:
        return leaves(node.args[0])
    return [node]


@pytest.mark.parametrize(
    "code",
    [
        'key == "quota"', '"idle" != key', 'key in ("shares", "weight")', 'key not in {"burst"}', 'keys & 1 == "cpus"',
        'key in frozenset(("period", 1))', 'match key:\n    case "quota": pass', '"quota" in keys',
    ],
)  # fmt: skip
def test_a_comparison_with_a_knob_is_found(code: str) -> None:
    assert compared(ast.parse(code))


def test_no_other_module_compares_with_the_key_of_a_knob() -> None:
    top = Path(cputune.__file__).parent
    found = {
        f"{path.relative_to(top)}:{line}: {key}"
        for path in sorted(top.rglob("*.py"))
        if str(path.relative_to(top)) not in RULES
        for line, key in compared(ast.parse(path.read_text()))
    }
    assert found == set(), "ask the row in core/knobs.py instead, or move a rule of the kernel to host/cgroup"
