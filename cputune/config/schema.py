"""The YAML of a saved configuration: read strictly, edited in place. Pure, and the only importer of yaml.

Every mistake is an error with its line and column. Comments and the order of a hand-written file stay; what is unknown
is refused, never dropped.

Errors say where the mistake is and what was expected, and never what the file contains: a user whom sudoers(5) permits
to name a file could otherwise read any file of root's by them. The words in them are cputune's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cputune.core.errors import CpuTuneError, UsageError
from cputune.core.goals import concrete
from cputune.core.knobs import KNOB, Knob
from cputune.core.model import Change

if TYPE_CHECKING:
    from typing import Protocol

    import yaml

    class Place(Protocol):
        """A mark of PyYAML's or of libyaml's; line and column are counted from 0."""

        line: int
        column: int


VERSION = 1
_INT = "tag:yaml.org,2002:int"
_BOOL = "tag:yaml.org,2002:bool"
_MAX_DEPTH = 20
"""More levels of nesting are not read: the time that PyYAML takes for a level grows with the number of those above."""
_LONGEST_KEY = 20
_SYNTAX = frozenset(
    (
        "mapping values are not allowed here",
        "mapping values are not allowed in this context",
        "found unexpected end of stream",
        "could not find expected ':'",
        "did not find expected key",
        "found character '\\t' that cannot start any token",
        "found character that cannot start any token",
    )
)
"""What PyYAML and libyaml say of frequent mistakes. Of their other texts, some repeat a part of the file."""
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
    """Read the text of a file. Raises UsageError that names file, line and column."""
    nodes = compose(path, text)
    if len(nodes) != 1:
        mark = nodes[1].start_mark if nodes else None
        raise mistake(path, mark, "more than one document" if nodes else "not a mapping of keys to values")
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
            mark = event.start_mark
            if any(getattr(event, extra, None) for extra in ("anchor", "tag")):
                raise mistake(path, mark, "anchors, aliases and tags are not allowed here")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise mistake(path, mark, "nested too deeply")
        return list(yaml.compose_all(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        what = error.problem if error.problem in _SYNTAX else ""
        mark = error.problem_mark or error.context_mark
        raise mistake(path, mark, f"not YAML{what and f': {what}'}") from error
    except (yaml.YAMLError, OverflowError, ValueError) as error:  # the latter two: an escape of what is no character
        odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
        before = text[: odd.start()] if odd else ""
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        raise mistake_at(path, line, column, "not YAML: a character that is not allowed") from error


def understood(path: str, node: yaml.Node) -> tuple[str | None, Change]:
    """Return the domain and the values of one document. Raises UsageError."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise mistake(path, node.start_mark, "not a mapping of keys to values")
    seen: dict[str, Any] = {}
    marks: dict[str, Place] = {}
    for key, value in node.value:
        mark = key.start_mark
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise mistake(path, mark, "not of the form key: value")
        if key.value not in ("version", "domain", *KNOB):
            raise mistake(path, mark, _unknown(key.value))
        if key.value in seen:
            raise mistake(path, mark, f"{key.value} occurs twice")
        other = KNOB[key.value].alternative if key.value in KNOB else ""
        if other in seen:
            raise mistake(path, mark, f"{other} and {key.value} cannot both be set: they are two units of one thing")
        seen[key.value], marks[key.value] = _value(path, key.value, value), value.start_mark
    if seen.pop("version", None) != VERSION:
        raise mistake(path, node.start_mark, f"no line `version: {VERSION}`")
    domain = seen.pop("domain", None)
    change = Change(**seen)
    _check_together(path, change, marks)
    return domain, change


def _check_together(path: str, change: Change, marks: dict[str, Place]) -> None:
    """Raise UsageError, as `check`, but for the values of a file, which it does not repeat."""
    try:
        quota = concrete(change, None).quota
    except UsageError as error:
        what = f"cpus is, with the period, no quota in range: {KNOB['quota'].range}"
        raise mistake(path, marks["cpus"], what) from error
    if change.burst is not None and isinstance(quota, int) and change.burst > quota:
        raise mistake(path, marks["burst"], "burst is not in range: 0..quota")


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


def _unknown(key: str) -> str:
    """Return what to say of an unknown key: the known one that it differs from by a slip of the finger, if any."""
    import difflib

    known = ("version", "domain", *KNOB)
    near = difflib.get_close_matches(key.lower(), known, 1, 0.7) if len(key) <= _LONGEST_KEY else []
    return f"unknown key; {f'did you mean {near[0]}? ' if near else ''}known: {', '.join(known)}"


def _value(path: str, key: str, node: yaml.ScalarNode) -> Any:
    if key == "version":
        if node.tag != _INT or node.value != str(VERSION):
            raise mistake(path, node.start_mark, f"not a version that this cputune can read: {VERSION}")
        return VERSION
    if key == "domain":
        return node.value
    knob = KNOB[key]
    value = knob.kind.read(node.value) if _can_be(knob, node) else None
    if value is None or not knob.kind.fits(value):
        raise mistake(path, node.start_mark, f"{key} is not in range: {knob.range}")
    return value


def _can_be(knob: Knob, node: yaml.ScalarNode) -> bool:
    """Return whether YAML and people read a value alike: 1 is no flag, a quoted number is a text, 010 is eight."""
    if knob.kind.is_flag:
        return bool(node.tag == _BOOL)
    if node.style:
        return str(node.value).isalpha()
    digits = node.value.lstrip("-")
    return not (digits[:1] == "0" and digits[1:2].isdigit())


def mistake(path: str, mark: Place | None, what: str) -> UsageError:
    """Return the error for a place in a file; None is its beginning. `what` repeats nothing of the file."""
    return mistake_at(path, mark.line if mark else 0, mark.column if mark else 0, what)


def mistake_at(path: str, line: int, column: int, what: str) -> UsageError:
    """As `mistake`, for a line and a column, both counted from 0."""
    return UsageError(f"{path}:{line + 1}:{column + 1}: {what}", f"$EDITOR {path}")
