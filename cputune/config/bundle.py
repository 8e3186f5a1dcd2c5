"""Many configurations in one file: YAML documents like a saved one, each with the name of its domain."""

from __future__ import annotations

import re

from cputune.config.schema import OTHER_BREAKS, Saved, compose, mistake, parse, quoted, understood, written
from cputune.config.store import decoded, read
from cputune.core.errors import CpuTuneError, UsageError
from cputune.core.model import Change

_LARGEST = 16 << 20
# The separator between two documents.
_BETWEEN = re.compile(r"^---[ \t]*$", re.MULTILINE)


def read_many(path: str) -> list[tuple[str, Change]]:
    """Return the domains in a file of many documents ("-" is standard input), and what each is to have.

    Raises UsageError that names file, line and column, NoPermission. Nothing of the file is repeated in errors before
    all of it has been understood.
    """
    text, path = _text_of_many(path)
    return list(_wanted_of_many(path, text).items())


def _text_of_many(path: str) -> tuple[str, str]:
    """Return the text of such a file, and the name to use for it in errors."""
    if path == "-":
        import sys

        return decoded("<stdin>", sys.stdin.buffer.read(_LARGEST + 1), _LARGEST), "<stdin>"
    found = read(path, _LARGEST, own=False)
    if found is None:
        raise UsageError(f"{path}: no such file", f"ls -l {path}")
    return found, path


def _wanted_of_many(path: str, text: str) -> dict[str, Change]:
    wanted: dict[str, Change] = {}
    for node in compose(path, text, quickly=True):
        if node.value == "":  # the empty document behind a last line ---
            continue
        domain, change = understood(path, node)
        if not domain:
            raise mistake(path, node.start_mark, "a document without a domain: RUNTIME:NAME")
        if domain in wanted:
            raise mistake(path, node.start_mark, "a second document for one domain")
        if not change.named():
            raise mistake(path, node.start_mark, "a document without a limit")
        wanted[domain] = change
    if not wanted:
        raise mistake(path, None, "there is no document in it")
    return wanted


def read_documents(path: str) -> list[tuple[str, str, Change]]:
    """Return the domains in a file of many documents, each with the text of its own file and what that says. Raises as
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


def _stands_alone(name: str, text: str, change: Change) -> bool:
    """Return whether this text, between two lines ---, would be read as this configuration."""
    if re.search(r"^(---|\.\.\.|%)", text, re.MULTILINE) or OTHER_BREAKS.search(text):
        return False
    try:
        found = parse(name, text)
    except CpuTuneError:
        return False
    return (found.domain, found.change) == (name, change)


def documents(saved: list[tuple[str, Saved]]) -> str:
    """Return configurations (by RUNTIME:NAME) as one text that `read_documents` reads."""
    texts = []
    for name, (_, text, change, domain) in saved:
        piece = (text if domain else f"domain: {quoted(name)}\n{text}").rstrip("\n") + "\n"
        texts.append(piece if _stands_alone(name, piece, change) else written(name, change))
    return "---\n".join(texts)
