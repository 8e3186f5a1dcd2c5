"""Names of domains: which are safe to look for, and how they become file names and terminal output. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cputune.core.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z0-9_@+=,:-][A-Za-z0-9_@+=,:.\\-]*", re.ASCII)
_ODD = rb"[^A-Za-z0-9_@+=,:.\\-]|^\."
_WILD = r"\[[^]]*\]|[*?]"
_LONGEST = 200
_LONE = "[\ud800-\udc7f\udd00-\udfff]"
"""Surrogates that do not stand for a byte of a file name (PEP 383): only JSON can have put them into a name."""


def check(name: str) -> str:
    """Return the name unchanged. Raises UsageError if it is empty, too long, or has control characters."""
    if not name:
        raise UsageError("the name of the domain is empty", "list the names: cputune status")
    if len(name) > 4096 or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise UsageError(
            f"{printable(name[:60])}: not a name: too long, or with control characters",
            "list the names: cputune status",
        )
    return name


def is_component(name: str) -> bool:
    """Return whether a name can be one component of a path: no slash, not "." or "..", at most 255 bytes."""
    return (
        bool(name)
        and "/" not in name
        and "\0" not in name
        and name not in (".", "..")
        and len(name.encode(errors="replace")) <= 255
    )


def file_name(name: str) -> str:
    """Return a file name that is unique to `name`, stays in its folder and is not hidden: odd bytes become %XX."""
    if _PLAIN.fullmatch(name) and len(name) <= _LONGEST:
        return name
    data = name.encode("utf-8", "surrogatepass" if re.search(_LONE, name) else "surrogateescape")
    encoded = re.sub(_ODD, lambda match: b"%%%02X" % match[0][0], data).decode()
    if len(encoded) <= _LONGEST:
        return encoded
    import hashlib

    return f"{encoded[:120]}%{hashlib.sha256(data).hexdigest()}"


def name_of(file: str) -> str | None:
    """Return the name that `file_name` made this file name of; None if it was too long, so that its hash is there."""
    from urllib.parse import unquote_to_bytes

    name = unquote_to_bytes(file).decode("utf-8", "surrogateescape")
    return name if file_name(name) == file else None


def is_pattern(name: str) -> bool:
    """Return whether a name is a pattern for several domains: it has *, ? or [...], as in a shell."""
    return any(letter in name for letter in "*?[")


def fits(pattern: str, name: str) -> bool:
    """Return whether a pattern matches a name; as in paths, * does not match a slash."""
    from fnmatch import fnmatchcase

    parts, own = pattern.split("/"), name.split("/")
    return len(parts) == len(own) and all(map(fnmatchcase, own, parts))


def has_parts(name: str, fewest: int) -> bool:
    """Return whether a name has at least `fewest` parts between slashes, each of them a path component."""
    parts = name.split("/")
    return len(parts) >= fewest and all(map(is_component, parts))


def by_precedence(patterns: Iterable[str]) -> list[str]:
    """Sort patterns so that of several that match a name the first one counts: the one with the most letters of its
    own, then the one with the fewest stars, then the first one in alphabetical order.
    """
    return sorted(patterns, key=lambda pattern: (-len(re.sub(_WILD, "", pattern)), pattern.count("*"), pattern))


def printable(text: str) -> str:
    """Return text from outside so that it is safe on a terminal: control characters and broken bytes become escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
        for letter in text
    )
