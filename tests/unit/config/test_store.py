"""The saved configuration: read strictly, changed in place, and never anything in between."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cputune.config.schema import Saved, check, edited, parse
from cputune.config.store import Store
from cputune.core import names as names_of_domains
from cputune.core.errors import CpuTuneError, NoPermission, UsageError
from cputune.core.knobs import KNOB, MAX_QUOTA, UNLIMITED
from cputune.core.model import Change, Domain
from cputune.host.system import Host

WEB = Domain("lxc", "web", running=True, persistent=True)
HEAD = "version: 1\ndomain: lxc:web\n"
PLAIN = "anchors, aliases and tags are not for this file"
KNOWN = "version, domain, shares, weight, period, quota, burst, idle"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Host("/", str(tmp_path / "config"), str(tmp_path / "state")))


def put(store: Store, text: str | bytes, domain: Domain = WEB) -> Path:
    """A file of a domain, written by hand."""
    path = Path(store.path(domain))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def saved(store: Store, change: Change, domain: Domain = WEB) -> str:
    """Save a change, and return the file's text."""
    store.save(domain, store.load(domain), change)
    return Path(store.path(domain)).read_text()


# --- reading ----------------------------------------------------------------------------------------------------------


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


def out_of_range(key: str, value: str) -> str:
    return f"f:2: {key}: {value!r} is not in range: {KNOB[key].range}"


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


def configuration_or_mistake(read: Callable[[], Saved]) -> Saved | str:
    """What was read, or the words of the mistake; nothing else may come of it."""
    try:
        return read()
    except UsageError as error:
        return error.message


@given(st.binary())
def test_any_bytes_too(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    store = Store(Host("/", str(tmp_path_factory.getbasetemp() / "any"), "/nowhere"))
    path = put(store, data)
    found = configuration_or_mistake(lambda: store.load(WEB))
    assert found.startswith(f"{path}:") if isinstance(found, str) else found.path == str(path)


def test_not_utf_8(store: Store) -> None:
    path = put(store, HEAD.encode() + b"# caf\xe9\n")
    with pytest.raises(UsageError) as caught:
        store.load(WEB)
    assert (caught.value.message, caught.value.hint) == (f"{path}:3: not UTF-8", f"$EDITOR {path}")


def test_a_file_that_is_too_large(store: Store) -> None:
    path = put(store, HEAD + "# " + "x" * 65536)
    with pytest.raises(UsageError) as caught:
        store.load(WEB)
    assert caught.value.message == f"{path}: larger than 65536 bytes, which no configuration of a domain is"
    assert caught.value.hint == f"ls -l {path}"


def test_no_file_is_an_empty_configuration(store: Store) -> None:
    assert store.load(WEB) == Saved(store.path(WEB), "", Change())


def test_a_file_of_another_domain(store: Store) -> None:
    path = put(store, "version: 1\ndomain: lxc:db\n")
    with pytest.raises(UsageError) as caught:
        store.load(WEB)
    assert caught.value.message == f"{path}: domain: lxc:db is not lxc:web, whose file this is"
    assert caught.value.hint == f"$EDITOR {path}"


def test_a_symbolic_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    path = put(store, HEAD)
    path.rename(tmp_path / "elsewhere.yaml")
    path.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(CpuTuneError) as caught:
        store.load(WEB)
    assert caught.value.message == f"cannot read {path}: it is a symbolic link, which is not followed"


def test_a_directory_in_place_of_a_file(store: Store) -> None:
    os.makedirs(store.path(WEB))
    with pytest.raises(CpuTuneError) as caught:
        store.load(WEB)
    assert caught.value.message == f"cannot read {store.path(WEB)}: Is a directory"


# --- writing ----------------------------------------------------------------------------------------------------------


def is_name(text: str) -> bool:
    """Whether the command line takes it as a name."""
    try:
        return names_of_domains.check(text) == text
    except UsageError:
        return False


def test_a_new_file(store: Store) -> None:
    change = Change(shares=512, quota=UNLIMITED, idle=False)
    assert saved(store, change) == 'version: 1\ndomain: "lxc:web"\nshares: 512\nquota: unlimited\nidle: false\n'
    path = Path(store.path(WEB))
    assert path == Path(store.directory) / "lxc/web.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert store.load(WEB).change == change


names = (st.text(min_size=1, max_size=300) | st.binary(min_size=1, max_size=300).map(os.fsdecode)).filter(is_name)


@given(names, st.integers(2, 262144))
@example("a: b # c", 5)
@example("\\x2d", 5)
@example('"quoted"', 5)
@example("x" * 300, 5)
@example("\U0001f600", 5)
@example("\U0001f600" * 200, 5)
@example("\u2028\x85\ufeff" * 100, 5)
@example(os.fsdecode(b"\xff" * 300), 5)
def test_every_name_can_be_saved_and_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, name: str, shares: int
) -> None:
    root = tmp_path_factory.mktemp("names")
    store = Store(Host("/", str(root), "/nowhere"))
    domain = WEB._replace(name=name)
    saved(store, Change(shares=shares), domain)
    assert store.load(domain).change == Change(shares=shares)
    assert list(store.names()) == [(f"lxc:{name}", store.path(domain))]
    assert os.path.dirname(store.path(domain)) == f"{root}/domains/lxc"


BY_HAND = """\
# the web server of team x

version:   1       # the form
quota : 25000      # half a CPU of the old machine
"period": 50000
  # not indented on purpose
domain: lxc:web
shares:     512
# the end"""


@pytest.fixture
def by_hand(store: Store) -> Iterator[Store]:
    put(store, BY_HAND)
    yield store
    assert [path.name for path in Path(store.path(WEB)).parent.iterdir()] in (["web.yaml"], [])


def test_a_changed_value_keeps_comments_order_and_spacing(by_hand: Store) -> None:
    before = by_hand.load(WEB).change
    text = saved(by_hand, before.replace(quota=30000))
    assert text == BY_HAND.replace("quota : 25000      #", "quota: 30000      #") + "\n"


def test_an_added_key_comes_last(by_hand: Store) -> None:
    before = by_hand.load(WEB).change
    assert saved(by_hand, before.replace(burst=1000)) == f"{BY_HAND}\nburst: 1000\n"


def test_a_removed_key_takes_only_its_line(by_hand: Store) -> None:
    before = by_hand.load(WEB).change
    assert saved(by_hand, before.replace(period=None)) == BY_HAND.replace('"period": 50000\n', "") + "\n"


def test_what_does_not_change_is_not_rewritten(by_hand: Store) -> None:
    before = by_hand.load(WEB)
    assert edited(before, "lxc:web", before.change) == f"{BY_HAND}\n"


def test_the_last_key_takes_the_file_with_it(by_hand: Store) -> None:
    by_hand.save(WEB, by_hand.load(WEB), Change())
    assert not Path(by_hand.path(WEB)).exists()
    by_hand.save(WEB, by_hand.load(WEB), Change())


@pytest.mark.parametrize(
    "text",
    [
        "{version: 1, quota: 25000}\n",
        "version: 1\nquota:\n  25000\n",
        "{version: 1,\nquota: 25000}\n",
        "version: 1\n? quota\n: 25000\n",
        "  version: 1\n  quota: 25000\n",
        "version: 1\nquota: 25000\n...\n",
    ],
)
def test_a_form_that_editing_by_lines_would_break_is_refused_and_kept(store: Store, text: str) -> None:
    path = put(store, text)
    before = store.load(WEB)
    with pytest.raises(UsageError) as caught:
        store.save(WEB, before, before.change.replace(quota=30000, burst=5))
    assert caught.value.message == (
        f"{path}: not written one `key: value` a line, so it cannot be changed without losing its form"
    )
    assert caught.value.hint == f"$EDITOR {path}"
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(quota=6000, period=50000), "version: 1\r\n# c\r\nquota: 6000 # q\r\nperiod: 50000\r\n"),
        (Change(quota=5000), "version: 1\r\n# c\r\nquota: 5000 # q\r\n"),
        (
            Change(quota=5000, period=50000, burst=7),
            "version: 1\r\n# c\r\nquota: 5000 # q\r\nperiod: 50000\r\nburst: 7\r\n",
        ),
    ],
)
def test_the_ends_of_lines_stay(store: Store, change: Change, expected: str) -> None:
    path = put(store, "version: 1\r\n# c\r\nquota: 5000 # q\r\nperiod: 50000\r\n")
    store.save(WEB, store.load(WEB), change)
    assert path.read_bytes() == expected.encode()


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


def test_a_disk_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/domains").write_text("a file")
    with pytest.raises(CpuTuneError) as caught:
        store.write(store.path(WEB), "x")
    assert caught.value.message == f"cannot save {store.path(WEB)}: Not a directory"


def test_a_directory_that_may_not_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, text: str, *, sync: bool) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("cputune.config.store.write_atomically", refuse)
    with pytest.raises(NoPermission) as caught:
        store.write(store.path(WEB), "x")
    assert caught.value.message == f"cannot save {store.path(WEB)}: Permission denied"
    assert caught.value.hint == "run it as root: sudo cputune ..."


def test_files_that_are_not_configurations_are_passed_over(store: Store) -> None:
    put(store, HEAD + "shares: 5\n")
    folder = Path(store.path(WEB)).parent
    for name in (".web.yaml.123", "web.yaml~", "README", ".hidden.yaml"):
        (folder / name).write_text("not mine")
    assert list(store.names()) == [("lxc:web", store.path(WEB))]


@pytest.mark.parametrize(
    "text",
    [b"", b"version: 1\nqouta: 5\n", b"\xff", b"[" * 3000 + b"]" * 3000, b"x" * 70000, b"version: 1\ndomain: *a\n"],
)
def test_a_broken_file_with_an_odd_name_is_listed_by_it(store: Store, text: bytes) -> None:
    put(store, HEAD)
    odd = Path(store.directory) / "lxc/a b.yaml"
    odd.write_bytes(text)
    assert list(store.names()) == [("lxc:a b", str(odd)), ("lxc:web", store.path(WEB))]


def test_a_directory_or_a_link_with_an_odd_name_is_listed_by_it(store: Store) -> None:
    folder = Path(store.path(WEB)).parent
    (folder / "a b.yaml").mkdir(parents=True)
    (folder / "c d.yaml").symlink_to("/nonexistent")
    assert list(store.names()) == [(f"lxc:{name}", f"{folder}/{name}.yaml") for name in ("a b", "c d")]
