"""A command line of cputune in a test: how it ended, and what it has to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

STATUS = "list the names: cputune status"
"""The hint behind a domain that is not there."""
ESCAPE = "\x1b"


class Ended(NamedTuple):
    """How a command line ended."""

    status: int
    out: str
    err: str


CommandLine = Callable[..., Ended]
"""The fixture `cputune`: run a command line on a host: cputune(host, "set", "web", "--shares", "512")."""


def error(message: str, hint: str | None = None) -> str:
    """All that stderr has to say about an error."""
    return f"cputune: error: {message}\n" + (f"hint: {hint}\n" if hint else "")
