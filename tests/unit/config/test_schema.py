"""The YAML of a configuration: read strictly, and changed in place."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cputune.config.schema import Saved, check, edited, parse
from cputune.core.errors import UsageError
from cputune.core.knobs import KNOB, KNOBS, MAX_QUOTA, UNLIMITED, Knob
from cputune.core.model import Change
from tests.support.saved import configuration_or_mistake
from tests.support.strategies import changes, values_of

PLAIN = "anchors, aliases and tags are not allowed here"
KNOWN = f"version, domain, {', '.join(KNOB)}"
BOTH = "cannot both be set: they are two units of one thing"


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
    ("line", "change"),
    [
        ("quota: 50ms", Change(quota=50000)), ("quota: 0.05s # half", Change(quota=50000)),
        ("quota: .5s", Change(quota=500000)),
        ("period: 50000us", Change(period=50000)), ("burst: 1ms", Change(burst=1000)), ("burst: 0", Change(burst=0)),
        ("cpus: 1.5", Change(cpus=1_500_000)), ("cpus: .5", Change(cpus=500_000)), ("cpus: 2", Change(cpus=2_000_000)),
        ("cpus: 150%", Change(cpus=1_500_000)), ("cpus: 1500m", Change(cpus=1_500_000)),
        ("cpus: 10", Change(cpus=10_000_000)),
        ("cpus: unlimited", Change(cpus=UNLIMITED)), ("cpus: 'max'", Change(cpus=UNLIMITED)),
    ],
)  # fmt: skip
def test_the_units_that_the_command_line_takes(line: str, change: Change) -> None:
    assert parse("f", f"version: 1\n{line}\n").change == change


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.key)
@given(data=st.data())
def test_every_value_is_read_as_it_is_written(knob: Knob, data: st.DataObject) -> None:
    value = data.draw(values_of(knob).filter(lambda value: bool(value) or not knob.zero_is_none))
    text = f"version: 1\nperiod: 1s\n{knob.key}: {knob.format(value)}\n" if knob.key != "period" else ""
    text = text or f"version: 1\nperiod: {knob.format(value)}\n"
    if is_legal(Change(period=1_000_000).replace(**{knob.key: value})):
        assert parse("f", text).change[knob.key] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f:1:1: not a mapping of keys to values"),
        ("# only a comment\n", "f:1:1: not a mapping of keys to values"),
        ("- version: 1\n", "f:1:1: not a mapping of keys to values"),
        ("version\n", "f:1:1: not a mapping of keys to values"),
        ("quota: 50000\n", "f:1:1: no line `version: 1`"),
        ("{}\n", "f:1:1: no line `version: 1`"),
        ("\n\nversion: 2\n", "f:3:10: not a version that this cputune can read: 1"),
        ("version: one\n", "f:1:10: not a version that this cputune can read: 1"),
        ("version: 1.0\n", "f:1:10: not a version that this cputune can read: 1"),
        ("version: '1'\n", "f:1:10: not a version that this cputune can read: 1"),
        ("version: 1\nqouta: 50000\n", f"f:2:1: unknown key; did you mean quota? known: {KNOWN}"),
        ("version: 1\nQuota: 50000\n", f"f:2:1: unknown key; did you mean quota? known: {KNOWN}"),
        ("version: 1\n5: 50000\n", f"f:2:1: unknown key; known: {KNOWN}"),
        ("version: 1\n<<: 5\n", f"f:2:1: unknown key; known: {KNOWN}"),
        ("version: 1\n\n# two\nquota: 5000\nquota: 5000\n", "f:5:1: quota occurs twice"),
        ("version: 1\nversion: 1\n", "f:2:1: version occurs twice"),
        ("version: 1\nquota: [5000]\n", "f:2:1: not of the form key: value"),
        ("version: 1\nquota:\n  max: 5000\n", "f:2:1: not of the form key: value"),
        ("version: 1\n? [quota]\n: 5\n", "f:2:3: not of the form key: value"),
        ("version: 1\nshares: 512\nweight: 50\n", f"f:3:1: shares and weight {BOTH}"),
        ("version: 1\nweight: 50\n\nshares: 512\n", f"f:4:1: weight and shares {BOTH}"),
        ("version: 1\nquota: 50ms\ncpus: .5\n", f"f:3:1: quota and cpus {BOTH}"),
        ("version: 1\ncpus: unlimited\nburst: 0\nquota: max\n", f"f:4:1: cpus and quota {BOTH}"),
        ("version: 1\nquota: 5000\nburst: 5001\n", "f:3:8: burst is not in range: 0..quota"),
        ("version: 1\ncpus: 0.5\nperiod: 1s\nburst: 0.6s\n", "f:4:8: burst is not in range: 0..quota"),
        ("version: 1\ncpus: 0.5\nburst: 50001\n", "f:3:8: burst is not in range: 0..quota"),
        ("version: 1\nquota: *limit\n", f"f:2:8: {PLAIN}"),
        ("version: 1\nquota: &a 5000\nperiod: *a\n", f"f:2:8: {PLAIN}"),
        ("version: 1\n\nidle: !!bool foo\n", f"f:3:7: {PLAIN}"),
        ("version: 1\nquota: !!int 5000\n", f"f:2:8: {PLAIN}"),
        ("version: 1\nquota: !odd 5000\n", f"f:2:8: {PLAIN}"),
        ("version: 1\nquota: ! 5000\n", f"f:2:8: {PLAIN}"),
        ("version: 1\n!!str quota: 5000\n", f"f:2:1: {PLAIN}"),
        ("version: 1\ndomain: !!str lxc:web\n", f"f:2:9: {PLAIN}"),
        ("&all {version: 1}\n", f"f:1:1: {PLAIN}"),
        ("# a map\n--- !!map\nversion: 1\n", f"f:2:5: {PLAIN}"),
        ("[" * 3000 + "]" * 3000, "f:1:21: nested too deeply"),
        ("version: 1\nquota: " + "{a: " * 3000 + "}" * 3000, "f:2:84: nested too deeply"),
        ("[" * 60000, "f:1:21: nested too deeply"),
        ("[" * 20, "f:1:21: not YAML"),
        ("version: 1\nquota:\n" + "".join(" " * n + "-\n" for n in range(30)), "f:22:20: nested too deeply"),
        ("version: 1\nquota: 'open\n", "f:3:1: not YAML: found unexpected end of stream"),
        ("version: 1\n\tquota: 5\n", "f:2:1: not YAML: found character '\\t' that cannot start any token"),
        ("version: 1\nquota: 5: 6\n", "f:2:9: not YAML: mapping values are not allowed here"),
        ("version: 1\n---\nversion: 1\n", "f:3:1: more than one document"),
        ("version: 1\n\x07\n", "f:2:1: not YAML: a character that is not allowed"),
    ],
)
def test_mistakes_are_told_with_line_and_column(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("f", text)
    assert caught.value.message == message
    assert caught.value.hint == "$EDITOR f"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shares", "1"), ("shares", "262145"), ("shares", "0"), ("shares", "-5"), ("shares", "1024.0"),
        ("weight", "0"), ("weight", "10001"), ("weight", "idle"),
        ("period", "999"), ("period", "1000001"), ("period", "1001ms"), ("period", "0"), ("period", "0ms"),
        ("period", "100 ms"), ("period", "100MS"), ("period", "unlimited"), ("period", "0100ms"), ("burst", "1m"),
        ("cpus", "0"), ("cpus", "0%"), ("cpus", "0m"), ("cpus", "-1"), ("cpus", "1.5x"), ("cpus", "1e3"),
        ("cpus", "01.5"), ("cpus", "1_0.5"), ("cpus", "1:30.5"), ("cpus", ".inf"), ("cpus", "0.0000001"), ("cpus", "٣"),
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
    assert caught.value.message == out_of_range(key)
    assert caught.value.hint == "$EDITOR f"


@pytest.mark.parametrize("key", [key for key in KNOB if key != "idle"])
def test_true_is_no_number(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("f", f"version: 1\n{key}: yes\n")
    assert caught.value.message == out_of_range(key)
    assert caught.value.hint == "$EDITOR f"


def test_a_value_that_is_missing_or_quoted() -> None:
    for text in ("", "'5000'", '"5000"', "'-1'", '"50ms"'):
        with pytest.raises(UsageError) as caught:
            parse("f", f"version: 1\nquota: {text}\n")
        assert caught.value.message == (out_of_range("quota") if text else out_of_range("quota").replace(":8:", ":7:"))
        assert caught.value.hint == "$EDITOR f"


def test_the_hints_of_what_contradicts_itself() -> None:
    with pytest.raises(UsageError) as cpus:
        check(Change(cpus=5_000), "f")
    assert cpus.value.message == "f: cpus: 0.005 is a quota of 500 with a period of 100000, below 1000"
    assert cpus.value.hint == "give a longer period: --period 200000"
    check(Change(cpus=5_000, period=200000), "f")
    with pytest.raises(UsageError) as burst:
        check(Change(quota=5000, burst=5001), "f")
    assert burst.value.hint == "lower burst, or raise quota"
    check(Change(quota=UNLIMITED, burst=MAX_QUOTA), "f")


def test_a_key_that_is_nearly_a_known_one_is_recognized() -> None:
    for key, meant in (
        ("qouta", "quota"),
        ("vcpu", "cpus"),
        ("root", None),
        ("cpu", "cpus"),
        ("Version", "version"),
        ("k" * 50, None),
    ):
        with pytest.raises(UsageError) as caught:
            parse("f", f"version: 1\n{key}: 5\n")
        assert caught.value.message == f"f:2:1: unknown key; {f'did you mean {meant}? ' if meant else ''}known: {KNOWN}"


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


def is_legal(change: Change) -> bool:
    try:
        check(change, "f")
    except UsageError:
        return False
    return True


# A burst is hardly ever below a limit by chance, nor the quota of a number of CPUs one of the kernel's.
configs = changes.map(lambda change: change if is_legal(change) else change.replace(burst=None, cpus=None))


@given(configs.filter(lambda change: bool(change.named())), configs, st.lists(st.integers(0, 7), max_size=4))
def test_editing_gives_the_change_and_keeps_every_comment(old: Change, new: Change, places: list[int]) -> None:
    lines = edited(Saved("f", "", Change()), "lxc:web", old).splitlines()
    for number, place in enumerate(places):
        lines.insert(place % (len(lines) + 1), f"# comment {number}")
    text = edited(parse("f", "\n".join(lines)), "lxc:web", new)
    assert parse("f", text).change == new
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in lines if line.startswith("#")
    ]


def out_of_range(key: str) -> str:
    return f"f:2:{len(key) + 3}: {key} is not in range: {KNOB[key].range}"
