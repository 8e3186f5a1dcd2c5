"""Reading what runtimes keep as JSON: it may be half-written, or anything that a user made up."""

from __future__ import annotations

from typing import Any

from cputune.core.errors import WrongState, from_os_error
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.foreign import NotTheirs

MAX_BYTES = 16 << 20


class Unreadable(WrongState):
    """A file that is there, and cannot be understood."""


def load_object(cgroups: Cgroups, path: str, owner: int = 0) -> dict[str, Any] | None:
    """Return the object in a file of this owner's; None if there is none, or no permission to read it.

    Raises Unreadable.
    """
    found = _load(cgroups, path, owner)
    if found is None or isinstance(found, dict):
        return found
    raise _unreadable(cgroups, path, "an object")


def load_objects(cgroups: Cgroups, path: str, owner: int = 0, max_bytes: int = MAX_BYTES) -> list[dict[str, Any]]:
    """Return the objects in the list in a file of this owner's; none if there is none, or no permission to read it.

    Raises Unreadable, also for a larger file.
    """
    found = _load(cgroups, path, owner, max_bytes)
    if found is None:
        return []
    if isinstance(found, list):
        return [item for item in found if isinstance(item, dict)]
    raise _unreadable(cgroups, path, "a list")


def _load(cgroups: Cgroups, path: str, owner: int, max_bytes: int = MAX_BYTES) -> Any:
    try:
        text = cgroups.host.foreign.read(path, owner, max_bytes)
    except NotTheirs as error:
        raise Unreadable(f"cannot read {cgroups.host.real(path)}: {error.strerror}") from error
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        raise Unreadable(from_os_error(error, f"read {cgroups.host.real(path)}").message) from error
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(cgroups, path, "JSON") from error


def _unreadable(cgroups: Cgroups, path: str, what: str) -> Unreadable:
    real = cgroups.host.real(path)
    return Unreadable(
        f"{real} is not {what}: half-written, or damaged", f"try again; then look at it: head -c 300 {real}"
    )


def parse_object(text: str) -> dict[str, Any] | None:
    """Return the object that a program printed; None if it printed something else."""
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def value_at(record: dict[str, Any] | None, *keys: str) -> Any:
    """Return the value at the end of a path of keys; None if a key is missing."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def string_at(record: dict[str, Any] | None, *keys: str) -> str:
    """Return the string at the end of a path of keys; an empty one if there is none."""
    value = value_at(record, *keys)
    return value if isinstance(value, str) else ""


def integer_at(record: dict[str, Any] | None, *keys: str) -> int:
    """Return the integer at the end of a path of keys; 0 if there is none."""
    value = value_at(record, *keys)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
