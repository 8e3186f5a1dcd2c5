"""Tasks as JSON values, for the journal and the history, and back: strictly, by the types of their fields. Pure."""

from __future__ import annotations

from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from cputune.core.knobs import KNOB, Value
from cputune.core.model import KnobValues

if TYPE_CHECKING:
    from cputune.transaction.tasks import Task


class Undecodable(ValueError):
    """A value that is not of the type it should be."""


def encode(value: object) -> Any:
    """A frozen value as JSON has it; fields that have their default are left out."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        if fields is None:
            return [encode(item) for item in value]
        defaults = getattr(value, "_field_defaults", {})
        return {
            name: encode(item)
            for name, item in zip(fields, value, strict=True)
            if name not in defaults or defaults[name] != item
        }
    if isinstance(value, KnobValues):
        return encode(value.named())
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def decode(kind: Any, value: object) -> Any:
    """The value of type `kind` that was encoded. Raises Undecodable."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(arguments, value)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(decode(arguments[0], item) for item in value)
        if len(arguments) == len(value):
            return tuple(decode(one, item) for one, item in zip(arguments, value, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {key: decode(arguments[1], item) for key, item in value.items()}
    elif origin is Literal and value in arguments:
        return value
    elif kind is NoneType and value is None:
        return None
    elif kind in (int, str, bool) and type(value) is kind:
        return value
    elif isinstance(kind, type) and issubclass(kind, Enum) and isinstance(value, str):
        for member in kind:
            if member.value == value:
                return member
    elif isinstance(kind, type) and issubclass(kind, KnobValues) and isinstance(value, dict):
        return _knobs(kind, value)
    elif hasattr(kind, "_fields") and isinstance(value, dict):
        return _named(kind, value)
    raise Undecodable(f"not {getattr(kind, '__name__', kind)}: {str(value)[:60]}")


def _one_of(kinds: tuple[Any, ...], value: object) -> Any:
    for kind in kinds:
        try:
            return decode(kind, value)
        except Undecodable:
            continue
    raise Undecodable(f"of no known type: {str(value)[:60]}")


def _knobs(kind: type[KnobValues], value: dict[str, object]) -> KnobValues:
    if not set(value) <= set(kind.KEYS):
        raise Undecodable(f"not knobs of {kind.__name__}: {', '.join(sorted(set(value) - set(kind.KEYS)))[:60]}")
    return kind(**{key: _knob_value(key, item) for key, item in value.items()})


def _knob_value(key: str, value: object) -> Value:
    found: Value = decode(Value, value)
    if not KNOB[key].kind.can_be(found):
        raise Undecodable(f"not the value of a knob: {key[:60]} {str(value)[:60]}")
    return found


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _named(kind: Any, value: dict[str, object]) -> Any:
    hints = _hints(kind)
    if not set(value) <= set(kind._fields):
        raise Undecodable(f"not fields of {kind.__name__}: {', '.join(sorted(set(value) - set(kind._fields)))[:60]}")
    missing = set(kind._fields) - set(value) - set(kind._field_defaults)
    if missing:
        raise Undecodable(f"{kind.__name__} without {', '.join(sorted(missing))}")
    return kind(**{name: decode(hints[name], item) for name, item in value.items()})


def dump(task: Task) -> list[Any]:
    """A task as JSON has it."""
    return [type(task).__name__, encode(task)]


def load(name: str, value: object) -> Task:
    """The task again. Raises Undecodable."""
    from cputune.transaction.cgroup_task import CgroupTask
    from cputune.transaction.native import Native
    from cputune.transaction.tasks import Record, Save

    kinds = {kind.__name__: kind for kind in (CgroupTask, Save, Record, Native)}
    if name not in kinds:
        raise Undecodable(f"no such task: {name[:60]}")
    task: Task = decode(kinds[name], value)
    return task
