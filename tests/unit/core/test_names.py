"""Names of domains: which can be, and how they become file names and terminal output."""

from __future__ import annotations

import os
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cputune.core.errors import UsageError
from cputune.core.names import by_precedence, check, file_name, fits, is_component, printable

# Any text that a program can get as an argument: bytes that are not UTF-8 arrive as surrogates.
ANY = st.one_of(st.text(), st.binary().map(os.fsdecode), st.text(alphabet="./%\\x2d aA-", max_size=12))
UGLY = ("..", ".", "../../etc/passwd", "/", "a/b", "", ".hidden", "a b", "ü", "a\nb", "\0", "%2F", "a%", "-", "\udcff")


@pytest.mark.parametrize("name", ["mydom", "a.b", "machine-lxc\\x2d438\\x2dmydom.scope", "systemd-nspawn@x.service"])
def test_ordinary_names_stay_readable(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("..", "%2E."),
        (".", "%2E"),
        (".hidden", "%2Ehidden"),
        ("a/b", "a%2Fb"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("a b", "a%20b"),
        ("ü", "%C3%BC"),
        ("%2F", "%252F"),
        ("a\0\n", "a%00%0A"),
        ("\udcff", "%FF"),
        ("", ""),
    ],
)
def test_odd_bytes_are_written_as_percent_and_two_digits(name: str, expected: str) -> None:
    assert file_name(name) == expected


@given(ANY)
@example("../" * 100)
@example("%" * 200)
def test_no_name_leaves_its_folder_or_hides_in_it(name: str) -> None:
    encoded = file_name(name)
    assert "/" not in encoded
    assert "\0" not in encoded
    assert not encoded.startswith(".")
    assert len(encoded.encode("ascii")) <= 200
    assert os.path.dirname(os.path.normpath(f"/folder/{encoded}.yaml")) == "/folder"


@given(ANY, ANY)
@example("a/b", "a%2Fb")
@example(".a", "%2Ea")
@example("x" * 201, "x" * 202)
@example("ü" * 200, "ü" * 199 + "u")
def test_two_names_never_share_a_file(one: str, other: str) -> None:
    assert (file_name(one) == file_name(other)) == (one == other)


@given(ANY)
def test_a_short_name_can_be_read_off_its_file(name: str) -> None:
    encoded = file_name(name)
    if len(name.encode("utf-8", "surrogateescape")) * 3 <= 200:
        assert unquote_to_bytes(encoded).decode("utf-8", "surrogateescape") == name


@given(ANY)
def test_what_is_printed_does_nothing_to_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("one\ntwo", "one\\ntwo"),
        ("\x9b", "\\x9b"),
        ("\udcff", "\\udcff"),
        ("\u202e", "\\u202e"),
        ("ü", "ü"),
    ],
)
def test_control_characters_and_broken_bytes_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("name", ["x", "a b", "ü", "a/b", "..", "\udcff", "x" * 4096])
def test_names_that_may_be_looked_for(name: str) -> None:
    assert check(name) == name


def test_the_empty_name() -> None:
    with pytest.raises(UsageError) as caught:
        check("")
    assert (caught.value.message, caught.value.hint) == (
        "the name of the domain is empty",
        "list the names: cputune status",
    )


@pytest.mark.parametrize(
    ("name", "shown"), [("a\0b", "a\\x00b"), ("a\nb", "a\\nb"), ("\x7f", "\\x7f"), ("x" * 4097, "x" * 60)]
)
def test_names_that_cannot_be(name: str, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(name)
    assert caught.value.message == f"{shown}: not a name: too long, or with control characters"
    assert caught.value.hint == "list the names: cputune status"


def test_one_component_of_a_path() -> None:
    assert all(map(is_component, ("x", "a b", "...", ".x", "\\x2d", "ü" * 127)))
    assert not any(map(is_component, ("", ".", "..", "a/b", "/", "a\0", "x" * 256, "ü" * 128)))


@pytest.mark.parametrize(
    ("pattern", "name", "fitting"),
    [
        ("web-*", "web-1", True),
        ("web-*", "web-", True),
        ("web-*", "web", False),
        ("*", "1000/web", False),
        ("*/web", "1000/web", True),
        ("web-[0-9]", "web-7", True),
        ("web-[!0-9]", "web-7", False),
        ("w?b", "web", True),
        ("web*", "WEB1", False),
    ],
)
def test_what_a_pattern_fits(pattern: str, name: str, fitting: bool) -> None:
    assert fits(pattern, name) is fitting


def test_the_pattern_that_says_most_counts() -> None:
    assert by_precedence(["*", "web-*", "web-1?", "web-[0-9]", "db-*"]) == ["web-1?", "web-[0-9]", "web-*", "db-*", "*"]
