"""The YAML of a saved configuration: read strictly, edited in place. Pure, and the only importer of yaml.

Every mistake is an error with its line. Comments and the order of a hand-written file stay; what is unknown is refused,
never dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cputune.core.errors import CpuTuneError, UsageError
from cputune.core.goals import concrete
from cputune.core.knobs import KNOB, Knob
from cputune.core.model import Change
from cputune.core.names import printable

if TYPE_CHECKING:
    import yaml

VERSION = 1
_INT = "tag:yaml.org,2002:int"
_BOOL = "tag:yaml.org,2002:bool"
_MAX_DEPTH = 20
"""More levels of nesting are not read: the time that PyYAML takes for a level grows with the number of those above."""
# What YAML 1.1 accepts as a line break besides \n and \r\n.
OTHER_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")


class Saved(NamedTuple):
    """One configuration that was read."""

    path: str
    text: str
    change: Change
    domain: str | None = None
    """The `domain` key: RUNTIME:NAME."""


def parse(path: str, text: str) -> Saved:
    """Read the text of a file. Raises UsageError that names file and line."""
    nodes = compose(path, text)
    if len(nodes) != 1:
        line = nodes[1].start_mark.line if nodes else 0
        raise mistake(path, line, "more than one document" if nodes else "not a mapping of keys to values")
    domain, change = understood(path, nodes[0])
    return Saved(path, text, change, domain)


def compose(path: str, text: str, *, quickly: bool = False) -> list[yaml.Node]:
    """Return the documents of a text. Raises UsageError."""
    import yaml

    # libyaml, if installed, is ten times as fast; its error messages differ a little.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if quickly else yaml.SafeLoader
    depth = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            line = event.start_mark.line if event.start_mark else 0
            if any(getattr(event, extra, None) for extra in ("anchor", "tag")):
                raise mistake(path, line, "anchors, aliases and tags are not allowed here")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise mistake(path, line, "nested too deeply")
        return list(yaml.compose_all(text, Loader=loader))
    except (OverflowError, ValueError) as error:
        raise mistake(path, 0, f"not YAML: {printable(str(error))}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise mistake(path, mark.line if mark else 0, f"not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise mistake(path, 0, f"not YAML: {printable(str(error).splitlines()[0])}") from error


def understood(path: str, node: yaml.Node) -> tuple[str | None, Change]:
    """Return the domain and the values of one document. Raises UsageError."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise mistake(path, node.start_mark.line, "not a mapping of keys to values")
    seen: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise mistake(path, line, "not of the form key: value")
        if key.value in seen:
            raise mistake(path, line, f"{printable(key.value)} occurs twice")
        other = KNOB[key.value].alternative if key.value in KNOB else ""
        if other in seen:
            raise mistake(path, line, f"{other} and {key.value} cannot both be set: they are two units of one thing")
        seen[key.value] = _value(path, key.value, value)
    if seen.pop("version", None) != VERSION:
        raise mistake(path, node.start_mark.line, f"no line `version: {VERSION}`")
    domain = seen.pop("domain", None)
    change = Change(**seen)
    check(change, path)
    return domain if isinstance(domain, str) else None, change


def check(change: Change, where: str) -> None:
    """Raise UsageError for a configuration that no kernel would accept.

    The quota for a number of CPUs is judged by the period that is saved, else by the default one.
    """
    quota = concrete(change, None, f"{where}: cpus").quota
    if change.burst is not None and isinstance(quota, int) and change.burst > quota:
        raise UsageError(
            f"{where}: burst {change.burst} is not in range: 0..quota ({quota})", "lower burst, or raise quota"
        )


def written(name: str, change: Change) -> str:
    """Return the text of a new file."""
    lines = [f"version: {VERSION}", f"domain: {quoted(name)}"]
    return "\n".join([*lines, *_lines(change).values()]) + "\n"


def _lines(change: Change) -> dict[str, str]:
    """Return the line of each knob."""
    return {key: f"{key}: {KNOB[key].format(value)}" for key, value in change.named().items()}


def edited(saved: Saved, name: str, change: Change) -> str:
    """Return the file's text with the new values: lines of knobs change in place, comments stay. Raises UsageError."""
    if not saved.text:
        return written(name, change)
    import yaml

    wanted = _lines(change)
    if OTHER_BREAKS.search(saved.text):
        raise _other_form(saved)
    lines = saved.text.removesuffix("\n").split("\n")
    ending = "\r" if lines[0].endswith("\r") else ""
    node = yaml.compose(saved.text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    gone = []
    for key, value in node.value:
        if key.value in KNOB:
            at = key.start_mark.line
            if key.value not in wanted:
                gone.append(at)
            elif change[key.value] != saved.change[key.value]:
                tail = lines[at][value.end_mark.column :] if value.end_mark.line == at else ""
                lines[at] = lines[at][: key.start_mark.column] + wanted[key.value] + tail
            wanted.pop(key.value, None)
    lines = [line for at, line in enumerate(lines) if at not in gone]
    lines += [line + ending for line in wanted.values()]
    text = "\n".join(lines) + "\n"
    # A file in another style (braces, several keys on a line) cannot be edited by lines: leave it, and say so.
    try:
        whole = parse(saved.path, text).change == change
    except CpuTuneError:
        whole = False
    if not whole:
        raise _other_form(saved)
    return text


def _other_form(saved: Saved) -> UsageError:
    return UsageError(
        f"{saved.path}: not written as one `key: value` a line, so it cannot be edited without losing its layout",
        f"$EDITOR {saved.path}",
    )


def quoted(name: str) -> str:
    """Return a name as a YAML double-quoted scalar, which any text can be."""
    plain = (letter if letter.isascii() and letter.isprintable() else f"\\U{ord(letter):08x}" for letter in name)
    return '"' + "".join(f"\\{letter}" if letter in '"\\' else letter for letter in plain) + '"'


def _value(path: str, key: str, node: yaml.ScalarNode) -> Any:
    line = node.start_mark.line
    if key == "version":
        if node.tag != _INT or node.value != str(VERSION):
            raise mistake(path, line, f"version {printable(node.value)} is not one this cputune can read ({VERSION})")
        return VERSION
    if key == "domain":
        return node.value
    knob = KNOB.get(key)
    if knob is None:
        raise mistake(path, line, f"unknown key {printable(key)}; known: version, domain, {', '.join(KNOB)}")
    where, hint = f"{path}:{line + 1}: {key}", f"$EDITOR {path}"
    value = knob.parse(node.value, where, hint) if _can_be(knob, node) else None
    if value is None or (knob.zero_is_none and value == 0):
        raise knob.out_of_range(node.value, where, hint)
    return value


def _can_be(knob: Knob, node: yaml.ScalarNode) -> bool:
    """Return whether YAML and people read a value alike: 1 is no flag, a quoted number is a text, 010 is eight."""
    if knob.kind.is_flag:
        return bool(node.tag == _BOOL)
    if node.style:
        return str(node.value).isalpha()
    digits = node.value.lstrip("-")
    return not (digits[:1] == "0" and digits[1:2].isdigit())


def mistake(path: str, line: int, what: str) -> UsageError:
    """Return the error for a line, counted from 0, of a file."""
    return UsageError(f"{path}:{line + 1}: {what}", f"$EDITOR {path}")
