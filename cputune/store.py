"""The saved configuration: one YAML file per domain, below /etc/cputune/domains. The only importer of yaml.

A file is read strictly: every mistake is an error with its line. It is changed in place, so that comments and the
order of a hand-written file stay; what is unknown is refused, never dropped.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from cputune.errors import CpuTuneError, NoPermission, UsageError, from_os_error
from cputune.files import require_own, require_own_place, sync_folder, write_atomically
from cputune.host import Host
from cputune.model import KNOB, UNLIMITED, Change, Domain
from cputune.names import by_precedence, file_name, fits, is_pattern, name_of, printable
from cputune.units import in_range, out_of_range, parse_integer

if TYPE_CHECKING:
    import yaml

VERSION = 1
SUFFIX = ".yaml"
_LARGEST = 65536
_LARGEST_OF_MANY = 16 << 20
_INT = "tag:yaml.org,2002:int"
_BOOL = "tag:yaml.org,2002:bool"
# What YAML 1.1 counts as the end of a line besides those two that editors write.
_OTHER_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
# The line between two documents.
_BETWEEN = re.compile(r"^---[ \t]*$", re.MULTILINE)
_STR = "tag:yaml.org,2002:str"


class Saved(NamedTuple):
    """One configuration that was read."""

    path: str
    text: str
    change: Change
    domain: str | None = None
    """The `domain` key: RUNTIME:NAME."""


class Store:
    """The configuration directory of one host; made when first written."""

    def __init__(self, host: Host) -> None:
        self.directory = os.path.join(host.config_dir, "domains")
        self._patterns: dict[str, list[str]] = {}

    def path(self, domain: Domain) -> str:
        """The file of a domain."""
        return os.path.join(self.directory, domain.runtime, file_name(domain.name) + SUFFIX)

    def load(self, domain: Domain) -> Saved:
        """The configuration of a domain; an empty one where there is no file.

        Raises UsageError with the line of a mistake, NoPermission.
        """
        path = self.path(domain)
        text = read(path)
        if text is None:
            return Saved(path, "", Change())
        saved = parse(path, text)
        if saved.domain not in (None, domain.qualified):
            raise UsageError(
                f"{path}: domain: {printable(saved.domain or '')} is not {domain.qualified}, whose file this is",
                f"$EDITOR {path}",
            )
        return saved

    def effective(self, domain: Domain) -> Saved:
        """The configuration that counts for a domain: its own, else that of the pattern that fits it best.

        Files are not merged: one counts. Raises as `load`.
        """
        own = self.load(domain)
        if own.text:
            return own
        pattern = self.pattern_of(domain)
        return self.load(domain._replace(name=pattern)) if pattern else own

    def pattern_of(self, domain: Domain) -> str | None:
        """The pattern among the saved names that fits a domain best; None where none does."""
        if is_pattern(domain.name):
            return None
        return next((pattern for pattern in self.patterns(domain.runtime) if fits(pattern, domain.name)), None)

    def patterns(self, runtime: str) -> list[str]:
        """The saved names of a runtime that are patterns, the one first that counts where several fit."""
        if runtime not in self._patterns:
            # A name's odd letters are %XX in its file's name.
            files = (file for file in _sorted(os.path.join(self.directory, runtime)) if "%" in file)
            names = (name_of(file.removesuffix(SUFFIX)) for file in files if file.endswith(SUFFIX))
            self._patterns[runtime] = by_precedence(name for name in names if name and is_pattern(name))
        return self._patterns[runtime]

    def save(self, domain: Domain, saved: Saved, change: Change) -> str | None:
        """Make `change` the configuration of a domain; None of its knobs set: no file. Returns the new text.

        Raises Refused (disk full), NoPermission, UsageError for a file whose form cannot be kept.
        """
        text = None if not change.named() else edited(saved, domain.qualified, change)
        self.write(saved.path, text)
        return text

    def write(self, path: str, text: str | None) -> None:
        """Replace a file whole, through to the disk; None removes it. Raises Refused, NoPermission."""
        try:
            require_own_place(path, 2)
            if text is not None:
                write_atomically(path, text, sync=True)
            elif os.path.lexists(path):
                os.unlink(path)
                sync_folder(os.path.dirname(path))
        except OSError as error:
            raise from_os_error(error, f"save {path}") from error

    def names(self) -> Iterator[tuple[str, str]]:
        """RUNTIME:NAME and path of every file, sorted; a name too long for a file name is in the file itself."""
        for runtime in _sorted(self.directory):
            for file in _sorted(os.path.join(self.directory, runtime)):
                if file.endswith(SUFFIX) and not file.startswith("."):
                    path = os.path.join(self.directory, runtime, file)
                    yield _name_of(runtime, file.removesuffix(SUFFIX), path), path


def parse(path: str, text: str) -> Saved:
    """Read the text of a file. Raises UsageError that names file and line."""
    nodes = _compose(path, text)
    if len(nodes) != 1:
        line = nodes[1].start_mark.line if nodes else 0
        raise _mistake(path, line, "more than one document" if nodes else "not a mapping of keys to values")
    domain, change = _understood(path, nodes[0])
    return Saved(path, text, change, domain)


def read_many(path: str) -> list[tuple[str, Change]]:
    """The domains in a file of many documents ("-" is standard input), and what each is to have.

    Raises UsageError that names file and line, NoPermission.
    """
    text, path = _text_of_many(path)
    return list(_wanted_of_many(path, text).items())


def _text_of_many(path: str) -> tuple[str, str]:
    """The text of such a file, and what to call it in errors."""
    if path == "-":
        import sys

        return _decoded("<stdin>", sys.stdin.buffer.read(_LARGEST_OF_MANY + 1), _LARGEST_OF_MANY), "<stdin>"
    found = read(path, _LARGEST_OF_MANY, own=False)
    if found is None:
        raise UsageError(f"{path}: no such file", f"ls -l {path}")
    return found, path


def _wanted_of_many(path: str, text: str) -> dict[str, Change]:
    wanted: dict[str, Change] = {}
    for node in _compose(path, text, quickly=True):
        if node.value == "":  # behind a last line ---
            continue
        domain, change = _understood(path, node)
        if not domain:
            raise _mistake(path, node.start_mark.line, "a document without a domain: RUNTIME:NAME")
        if domain in wanted:
            raise _mistake(path, node.start_mark.line, f"{printable(domain)} is there twice")
        if not change.named():
            raise _mistake(path, node.start_mark.line, f"nothing is wanted of {printable(domain)}")
        wanted[domain] = change
    if not wanted:
        raise _mistake(path, 0, "no document in it")
    return wanted


def read_documents(path: str) -> list[tuple[str, str, Change]]:
    """The domains in a file of many documents, each with the text of its own file and what that says. Raises as
    `read_many`.

    A document keeps its form and its comments where it can be the whole of a file.
    """
    text, path = _text_of_many(path)
    wanted = _wanted_of_many(path, text)
    pieces = [piece.strip("\n") + "\n" for piece in _BETWEEN.split(text) if piece.strip()]
    found = []
    for at, (domain, change) in enumerate(wanted.items()):
        piece = pieces[at] if len(pieces) == len(wanted) else ""
        try:
            kept = parse(path, piece) if piece else None
        except CpuTuneError:
            kept = None
        same = kept is not None and (kept.domain, kept.change) == (domain, change)
        found.append((domain, piece if same else written(domain, change), change))
    return found


def documents(saved: list[tuple[str, Saved]]) -> str:
    """Configurations by RUNTIME:NAME as one text that `read_documents` reads."""
    texts = []
    for name, (_, text, change, domain) in saved:
        alone = not re.search(r"^(---|\.\.\.|%)", text, re.MULTILINE) and not _OTHER_BREAKS.search(text)
        if not alone:
            texts.append(written(name, change))
        else:
            texts.append((text if domain else f"domain: {_quoted(name)}\n{text}").rstrip("\n") + "\n")
    return "---\n".join(texts)


def _compose(path: str, text: str, *, quickly: bool = False) -> list[yaml.Node]:
    """The documents of a text. Raises UsageError."""
    import yaml

    # libyaml, where it is there, is ten times as fast; its words about a mistake are a little different.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if quickly else yaml.SafeLoader
    try:
        for event in yaml.parse(text, Loader=loader):
            if any(getattr(event, extra, None) for extra in ("anchor", "tag")):
                raise _mistake(
                    path,
                    event.start_mark.line if event.start_mark else 0,
                    "anchors, aliases and tags are not for this file",
                )
        return list(yaml.compose_all(text, Loader=loader))
    except RecursionError as error:
        raise _mistake(path, 0, "nested too deeply") from error
    except (OverflowError, ValueError) as error:
        raise _mistake(path, 0, f"not YAML: {printable(str(error))}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _mistake(path, mark.line if mark else 0, f"not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise _mistake(path, 0, f"not YAML: {printable(str(error).splitlines()[0])}") from error


def _understood(path: str, node: yaml.Node) -> tuple[str | None, Change]:
    """One document: its domain, and what it wants. Raises UsageError."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise _mistake(path, node.start_mark.line, "not a mapping of keys to values")
    seen: dict[str, object] = {}
    for key, value in node.value:
        line = key.start_mark.line
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise _mistake(path, line, "not of the form key: value")
        if key.value in seen:
            raise _mistake(path, line, f"{printable(key.value)} is there twice")
        seen[key.value] = _value(path, key.value, value)
    if seen.pop("version", None) != VERSION:
        raise _mistake(path, node.start_mark.line, f"no line `version: {VERSION}`")
    domain = seen.pop("domain", None)
    change = Change(**seen)  # type: ignore[arg-type]
    check(change, path)
    return domain if isinstance(domain, str) else None, change


def check(change: Change, where: str) -> None:
    """Refuse a configuration that no kernel would take. Raises UsageError."""
    if change.shares is not None and change.weight is not None:
        raise UsageError(f"{where}: shares and weight cannot both be set", "keep one of the two")
    if change.burst is not None and isinstance(change.quota, int) and change.burst > change.quota:
        raise UsageError(
            f"{where}: burst {change.burst} is not in range: 0..quota ({change.quota})", "lower burst, or raise quota"
        )


def written(name: str, change: Change) -> str:
    """The text of a new file."""
    lines = [f"version: {VERSION}", f"domain: {_quoted(name)}"]
    return "\n".join(lines + [_line(key, value) for key, value in change.named().items()]) + "\n"


def edited(saved: Saved, name: str, change: Change) -> str:
    """The file's text with the new values: lines of known keys change in place, comments stay. Raises UsageError."""
    if not saved.text:
        return written(name, change)
    import yaml

    wanted = change.named()
    if _OTHER_BREAKS.search(saved.text):
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
            elif wanted[key.value] != getattr(saved.change, key.value):
                tail = lines[at][value.end_mark.column :] if value.end_mark.line == at else ""
                lines[at] = lines[at][: key.start_mark.column] + _line(key.value, wanted[key.value]) + tail
            wanted.pop(key.value, None)
    lines = [line for at, line in enumerate(lines) if at not in gone]
    lines += [_line(key, value) + ending for key, value in wanted.items()]
    text = "\n".join(lines) + "\n"
    # A file in some other form (braces, several keys on a line) does not survive editing by lines: say so, keep it.
    try:
        whole = parse(saved.path, text).change == change
    except CpuTuneError:
        whole = False
    if not whole:
        raise _other_form(saved)
    return text


def _other_form(saved: Saved) -> UsageError:
    return UsageError(
        f"{saved.path}: not written one `key: value` a line, so it cannot be changed without losing its form",
        f"$EDITOR {saved.path}",
    )


def _line(key: str, value: object) -> str:
    word = "unlimited" if value is UNLIMITED else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{key}: {word}"


def _quoted(name: str) -> str:
    """A name as a YAML double-quoted scalar, which any text can be."""
    plain = (letter if letter.isascii() and letter.isprintable() else f"\\U{ord(letter):08x}" for letter in name)
    return '"' + "".join(f"\\{letter}" if letter in '"\\' else letter for letter in plain) + '"'


def _value(path: str, key: str, node: yaml.ScalarNode) -> object:
    line = node.start_mark.line
    # YAML 1.1 takes 010 for eight: nobody means that here.
    plain = node.tag == _INT and (node.value == "0" or not node.value.lstrip("-").startswith("0"))
    number = parse_integer(node.value) if plain else None
    if key == "version":
        if number != VERSION:
            raise _mistake(path, line, f"version {printable(node.value)} is not one this cputune can read ({VERSION})")
        return number
    if key == "domain":
        return node.value
    knob = KNOB.get(key)
    if knob is None:
        raise _mistake(path, line, f"unknown key {printable(key)}; known: version, domain, {', '.join(KNOB)}")
    where = f"{path}:{line + 1}: {key}"
    if key == "idle":
        if node.tag != _BOOL:
            raise out_of_range(knob, node.value, where, f"$EDITOR {path}")
        return node.value.lower() in ("true", "yes", "on")
    if key == "quota" and ((node.tag == _STR and node.value in ("unlimited", "max")) or (number or 0) < 0):
        return UNLIMITED
    if number is None or not in_range(knob, number) or (number == 0 and knob.zero_is_none):
        raise out_of_range(knob, node.value, where, f"$EDITOR {path}")
    return number


def _mistake(path: str, line: int, what: str) -> UsageError:
    return UsageError(f"{path}:{line + 1}: {what}", f"$EDITOR {path}")


def read(path: str, limit: int = _LARGEST, *, own: bool = True) -> str | None:
    """The text of a configuration file; None where there is none. Raises CpuTuneError.

    An `own` one must not be such that others can change or replace it, nor a symbolic link: it says what root will do.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if own else 0)
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error
    try:
        if own:
            require_own_place(path, 2)
            require_own(path, os.fstat(fd))
        data = b""
        while len(data) <= limit and (more := os.read(fd, limit + 1 - len(data))):
            data += more
    except OSError as error:
        raise _cannot_read(path, error) from error
    finally:
        os.close(fd)
    return _decoded(path, data, limit)


def _cannot_read(path: str, error: OSError | ValueError) -> CpuTuneError:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return NoPermission(f"cannot read {path}: it is a symbolic link, which is not followed", f"ls -l {path}")
    if isinstance(error, ValueError):
        return UsageError(f"{printable(path)}: no name of a file")
    return from_os_error(error, f"read {path}")


def _decoded(path: str, data: bytes, limit: int) -> str:
    if len(data) > limit:
        raise UsageError(f"{path}: larger than {limit} bytes, which no configuration of a domain is", f"ls -l {path}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _mistake(path, data[: error.start].count(b"\n"), "not UTF-8") from error


def _sorted(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise from_os_error(error, f"read {folder}") from error


def _name_of(runtime: str, stem: str, path: str) -> str:
    name = name_of(stem)
    if name is not None:
        return f"{runtime}:{name}"
    try:
        return parse(path, read(path) or "").domain or f"{runtime}:{stem}"
    except CpuTuneError:
        return f"{runtime}:{stem}"
