"""Records that runtimes keep as JSON: they may be half-written, or a user's own invention."""

from __future__ import annotations

from typing import Any

from cputune.core.errors import WrongState, from_os_error
from cputune.host.cgroup.cgroups import Cgroups

LARGEST = 16 << 20


class Unreadable(WrongState):
    """A record that is there, and says nothing."""


def load(cgroups: Cgroups, path: str) -> dict[str, Any] | None:
    """The object in a file; None where there is no file, or none for us to read. Raises Unreadable."""
    found = _parsed(cgroups, path)
    if found is None or isinstance(found, dict):
        return found
    raise _not_one(cgroups, path, "an object")


def load_list(cgroups: Cgroups, path: str, largest: int = LARGEST) -> list[dict[str, Any]]:
    """The objects in the list in a file of at most so many bytes; none where there is no file. Raises Unreadable."""
    found = _parsed(cgroups, path, largest)
    if found is None:
        return []
    if isinstance(found, list):
        return [item for item in found if isinstance(item, dict)]
    raise _not_one(cgroups, path, "a list")


def _parsed(cgroups: Cgroups, path: str, largest: int = LARGEST) -> Any:
    try:
        text = cgroups.host.read_regular(path, largest)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        raise Unreadable(from_os_error(error, f"read {cgroups.host.real(path)}").message) from error
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_one(cgroups, path, "JSON") from error


def _not_one(cgroups: Cgroups, path: str, what: str) -> Unreadable:
    real = cgroups.host.real(path)
    return Unreadable(
        f"{real} is not {what}: half-written, or damaged", f"try again; then look at it: head -c 300 {real}"
    )


def parsed(text: str) -> dict[str, Any] | None:
    """The object that a program printed; None where it printed something else."""
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def field(record: dict[str, Any] | None, *names: str) -> Any:
    """The value at the end of a path of names; None where any of them is not there."""
    value: Any = record
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(record: dict[str, Any] | None, *names: str) -> str:
    """The same, where it is a text; else an empty one."""
    value = field(record, *names)
    return value if isinstance(value, str) else ""


def number(record: dict[str, Any] | None, *names: str) -> int:
    """The same, where it is a whole number; else 0."""
    value = field(record, *names)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
