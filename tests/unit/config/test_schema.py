"""The YAML of a configuration: read strictly, and changed in place."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cputune.config.schema import Saved, check, edited, parse
from cputune.core.errors import UsageError
from cputune.core.knobs import KNOB, MAX_QUOTA, UNLIMITED
from cputune.core.model import Change
from tests.support.saved import configuration_or_mistake

PLAIN = "anchors, aliases and tags are not for this file"
KNOWN = "version, domain, shares, weight, period, quota, burst, idle"


def test_every_key() -> None:
    text = "version: 1\ndomain: 'lxc:web'\nshares: 512\nperiod: 50000\nquota: 25000\nburst: 1000\nidle: true\n"
    found = parse("f", text)
    assert found == Saved("f", text, Change(shares=512, period=50000, quota=25000, burst=1000, idle=True), "lxc:web")
    assert parse("f", "version: 1\nweight: 50\n").change == Change(weight=50)


@pytest.mark.parametrize("word", ["unlimited", "max", '"max"', "-1", "-17"])
def test_no_limit(word: str) -> None:
    assert parse("f", f"version: 1\nquota: {word}\n").change == Change(quota=UNLIMITED)


@pytest.mark.parametrize(
    ("word", "value"), [("true", True), ("false", False), ("yes", True), ("no", False), ("on", True), ("Off", False)]
)
def test_the_words_of_yaml_for_true_and_false(word: str, value: bool) -> None:
    assert parse("f", f"version: 1\nidle: {word}\n").change == Change(idle=value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f:1: not a mapping of keys to values"),
        ("# only a comment\n", "f:1: not a mapping of keys to values"),
        ("- version: 1\n", "f:1: not a mapping of keys to values"),
        ("version\n", "f:1: not a mapping of keys to values"),
        ("quota: 50000\n", "f:1: no line `version: 1`"),
        ("{}\n", "f:1: no line `version: 1`"),
        ("\n\nversion: 2\n", "f:3: version 2 is not one this cputune can read (1)"),
        ("version: one\n", "f:1: version one is not one this cputune can read (1)"),
        ("version: 1.0\n", "f:1: version 1.0 is not one this cputune can read (1)"),
        ("version: '1'\n", "f:1: version 1 is not one this cputune can read (1)"),
        ("version: 1\nqouta: 50000\n", f"f:2: unknown key qouta; known: {KNOWN}"),
        ("version: 1\nQuota: 50000\n", f"f:2: unknown key Quota; known: {KNOWN}"),
        ("version: 1\n5: 50000\n", f"f:2: unknown key 5; known: {KNOWN}"),
        ("version: 1\n<<: 5\n", f"f:2: unknown key <<; known: {KNOWN}"),
        ("version: 1\n\n# two\nquota: 5000\nquota: 5000\n", "f:5: quota is there twice"),
        ("version: 1\nversion: 1\n", "f:2: version is there twice"),
        ("version: 1\nquota: [5000]\n", "f:2: not of the form key: value"),
        ("version: 1\nquota:\n  max: 5000\n", "f:2: not of the form key: value"),
        ("version: 1\n? [quota]\n: 5\n", "f:2: not of the form key: value"),
        ("version: 1\nshares: 512\nweight: 50\n", "f: shares and weight cannot both be set"),
        ("version: 1\nquota: 5000\nburst: 5001\n", "f: burst 5001 is not in range: 0..quota (5000)"),
        ("version: 1\nquota: *limit\n", f"f:2: {PLAIN}"),
        ("version: 1\nquota: &a 5000\nperiod: *a\n", f"f:2: {PLAIN}"),
        ("version: 1\n\nidle: !!bool foo\n", f"f:3: {PLAIN}"),
        ("version: 1\nquota: !!int 5000\n", f"f:2: {PLAIN}"),
        ("version: 1\nquota: !odd 5000\n", f"f:2: {PLAIN}"),
        ("version: 1\nquota: ! 5000\n", f"f:2: {PLAIN}"),
        ("version: 1\n!!str quota: 5000\n", f"f:2: {PLAIN}"),
        ("version: 1\ndomain: !!str lxc:web\n", f"f:2: {PLAIN}"),
        ("&all {version: 1}\n", f"f:1: {PLAIN}"),
        ("# a map\n--- !!map\nversion: 1\n", f"f:2: {PLAIN}"),
        ("[" * 3000 + "]" * 3000, "f:1: nested too deeply"),
        ("version: 1\nquota: " + "{a: " * 3000 + "}" * 3000, "f:1: nested too deeply"),
        ("[" * 3000, "f:1: not YAML: expected the node content, but found '<stream end>'"),
        ("version: 1\nquota: 'open\n", "f:3: not YAML: found unexpected end of stream"),
        ("version: 1\n\tquota: 5\n", "f:2: not YAML: found character '\\t' that cannot start any token"),
        ("version: 1\nquota: 5: 6\n", "f:2: not YAML: mapping values are not allowed here"),
        ("version: 1\n---\nversion: 1\n", "f:3: more than one document"),
        ("version: 1\n\x07\n", "f:1: not YAML: unacceptable character #x0007: special characters are not allowed"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("f", text)
    assert caught.value.message == message
    if "cannot both" not in message and "0..quota (" not in message:
        assert caught.value.hint == "$EDITOR f"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shares", "1"), ("shares", "262145"), ("shares", "0"), ("shares", "-5"), ("shares", "1024.0"),
        ("weight", "0"), ("weight", "10001"), ("weight", "idle"),
        ("period", "999"), ("period", "1000001"), ("period", "100ms"), ("period", "0"),
        ("quota", "999"), ("quota", "17592186044416"), ("quota", "0"), ("quota", "Unlimited"), ("quota", "50%"),
        ("burst", "-1"), ("burst", "17592186044416"),
        ("idle", "1"), ("idle", "0"), ("idle", "perhaps"),
        # YAML 1.1 would read these as other numbers than they look like
        ("quota", "050000"), ("quota", "0x1388"), ("quota", "5_000"), ("quota", "1:23:20"), ("quota", "0b1"),
        ("quota", "+5000"), ("quota", "5e4"), ("quota", "5000 abc"), ("quota", "-05"), ("shares", "02000"),
        ("quota", "~"), ("quota", "null"), ("quota", ".inf"), ("quota", "2026-01-01"), ("quota", "٥٠٠٠"),
    ],
)  # fmt: skip
def test_values_out_of_range(key: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("f", f"version: 1\n{key}: {value}\n")
    assert caught.value.message == out_of_range(key, value)
    assert caught.value.hint == "$EDITOR f"


@pytest.mark.parametrize("key", [key for key in KNOB if key != "idle"])
def test_true_is_no_number(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("f", f"version: 1\n{key}: yes\n")
    assert caught.value.message == out_of_range(key, "yes")
    assert caught.value.hint == "$EDITOR f"


def test_a_value_that_is_missing_or_quoted() -> None:
    for text, shown in (("", ""), ("'5000'", "5000"), ('"5000"', "5000")):
        with pytest.raises(UsageError) as caught:
            parse("f", f"version: 1\nquota: {text}\n")
        assert caught.value.message == out_of_range("quota", shown)
        assert caught.value.hint == "$EDITOR f"


def test_the_hints_of_what_contradicts_itself() -> None:
    with pytest.raises(UsageError) as both:
        check(Change(shares=512, weight=50), "f")
    assert both.value.hint == "keep one of the two"
    with pytest.raises(UsageError) as burst:
        check(Change(quota=5000, burst=5001), "f")
    assert burst.value.hint == "lower burst, or raise quota"
    check(Change(quota=UNLIMITED, burst=MAX_QUOTA), "f")


def test_control_characters_do_not_reach_the_terminal() -> None:
    with pytest.raises(UsageError) as caught:
        parse("f", 'version: 1\n"\\e[31mred": 5\n')
    assert caught.value.message == f"f:2: unknown key \\x1b[31mred; known: {KNOWN}"


DEEP = ("[" * 40, "{a: " * 40, "- " * 40)


yamlish = st.lists(
    st.sampled_from(
        ["version: 1", "quota", "shares", "idle", ":", " ", "\n", "5000", "-1", "max", "true", "0x10", "[", "]", "{",
         "}", ",", "&a ", "*a", "!!int ", "!x ", "|", ">", "'", '"', "#", "---\n", "...\n", "? ", "- ", "<<", "\t",
         "%YAML 1.1\n", "\\", "\u2028", "\x85", "\ufeff", "domain: lxc:web\n"]
    ),
    max_size=20,
).map("".join)  # fmt: skip


@given(st.text() | yamlish)
@example(DEEP[0])
@example(DEEP[1])
@example("[" * 3000)
@example("[" * 3000 + "]" * 3000)
@example("version: 1\nquota: &a 5000\nperiod: *a\n")
def test_any_text_is_a_configuration_or_a_mistake(text: str) -> None:
    found = configuration_or_mistake(lambda: parse("f", text))
    assert found.startswith("f:") if isinstance(found, str) else found.text == text


configs = st.builds(
    Change,
    shares=st.none() | st.integers(2, 262144),
    weight=st.none(),
    period=st.none() | st.integers(1000, 1000000),
    quota=st.none() | st.just(UNLIMITED) | st.integers(1000, MAX_QUOTA),
    burst=st.none() | st.integers(0, 1000),
    idle=st.none() | st.booleans(),
)


@given(configs.filter(lambda change: any(change.named())), configs, st.lists(st.integers(0, 7), max_size=4))
def test_editing_gives_the_change_and_keeps_every_comment(old: Change, new: Change, places: list[int]) -> None:
    lines = edited(Saved("f", "", Change()), "lxc:web", old).splitlines()
    for number, place in enumerate(places):
        lines.insert(place % (len(lines) + 1), f"# comment {number}")
    text = edited(parse("f", "\n".join(lines)), "lxc:web", new)
    assert parse("f", text).change == new
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in lines if line.startswith("#")
    ]


def out_of_range(key: str, value: str) -> str:
    return f"f:2: {key}: {value!r} is not in range: {KNOB[key].range}"
