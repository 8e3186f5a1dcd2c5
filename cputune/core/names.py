"""Names of domains: which are safe to look for, and how they become file names and terminal output. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cputune.core.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z0-9_@+=,:-][A-Za-z0-9_@+=,:.\\-]*", re.ASCII)
_ODD = re.compile(rb"[^A-Za-z0-9_@+=,:.\\-]|^\.")
_WILD = re.compile(r"\[[^]]*\]|[*?]")
_LONGEST = 200
_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that no byte of a file name is read as: only JSON can have put them there."""


def check(name: str) -> str:
    """The name as given, where it can be one. Raises UsageError for an empty one, control characters and the like."""
    if not name:
        raise UsageError("the name of the domain is empty", "list the names: cputune status")
    if len(name) > 4096 or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise UsageError(
            f"{printable(name[:60])}: not a name: too long, or with control characters",
            "list the names: cputune status",
        )
    return name


def is_component(name: str) -> bool:
    """Whether a name can be one component of a path: what has a slash, or is "." or "..", names no container."""
    return (
        bool(name)
        and "/" not in name
        and "\0" not in name
        and name not in (".", "..")
        and len(name.encode(errors="replace")) <= 255
    )


def file_name(name: str) -> str:
    """A file name for `name` that is unique to it, cannot leave its folder and is not hidden: odd bytes as %XX."""
    if _PLAIN.fullmatch(name) and len(name) <= _LONGEST:
        return name
    data = name.encode("utf-8", "surrogatepass" if _LONE.search(name) else "surrogateescape")
    encoded = _ODD.sub(lambda match: b"%%%02X" % match[0][0], data).decode()
    if len(encoded) <= _LONGEST:
        return encoded
    import hashlib

    return f"{encoded[:120]}%{hashlib.sha256(data).hexdigest()}"


def name_of(file: str) -> str | None:
    """The name that `file_name` made a file name of; None where it was too long to be kept in one."""
    from urllib.parse import unquote_to_bytes

    name = unquote_to_bytes(file).decode("utf-8", "surrogateescape")
    return name if file_name(name) == file else None


def is_pattern(name: str) -> bool:
    """Whether a name stands for all that it fits: with *, ? or [...], as in a shell."""
    return any(letter in name for letter in "*?[")


def fits(pattern: str, name: str) -> bool:
    """Whether a name is one that a pattern stands for; as in paths, * does not reach over a slash."""
    from fnmatch import fnmatchcase

    parts, own = pattern.split("/"), name.split("/")
    return len(parts) == len(own) and all(map(fnmatchcase, own, parts))


def has_parts(name: str, fewest: int) -> bool:
    """Whether a name has so many parts, separated by slashes, each of which can be one. Pure."""
    parts = name.split("/")
    return len(parts) >= fewest and all(map(is_component, parts))


def by_precedence(patterns: Iterable[str]) -> list[str]:
    """Patterns, the one first that counts where several fit: which has most letters of its own, then fewest stars; of
    equals, the first by its letters.
    """
    return sorted(patterns, key=lambda pattern: (-len(_WILD.sub("", pattern)), pattern.count("*"), pattern))


def printable(text: str) -> str:
    """Text from outside, safe on a terminal: control characters and broken bytes as escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
        for letter in text
    )
