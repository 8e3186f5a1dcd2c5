"""Converts text to roff, with the macros of man(7). Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"`([^`]+)`|(?<![\w-])(--[a-z][a-z-]*)|\b([a-z][a-z.-]*\([1-8]\))|\*([A-Za-z-]+)\*")
"""What becomes bold or italic: `code`, --option, page(1), *NAME*."""
_SENTENCE = re.compile(r"(?<=[^.][.?!:]) (?=[A-Z`*])")
"""The end of a sentence, but for an ellipsis: the next one begins with a capital, with code or with a name."""
_ESCAPES = {"\\": r"\e", "-": r"\-", "^": r"\(ha", "~": r"\(ti", "`": r"\(ga"}


def plain(text: str) -> str:
    """Escape the characters of a text that have a meaning in roff."""
    return "".join(_ESCAPES.get(letter, letter if ord(letter) < 128 else f"\\[u{ord(letter):04X}]") for letter in text)


def literal(text: str) -> str:
    """Escape a text that readers paste into a shell or a file: its quotes must stay straight."""
    return plain(text).replace("'", r"\(aq")


def bold(text: str) -> str:
    """Set a text in bold, which readers type as it is."""
    return rf"\fB{literal(text)}\fR"


def italic(text: str) -> str:
    """Set a text in italics, which readers replace."""
    return rf"\fI{literal(text)}\fR"


def page(text: str) -> str:
    """Set a reference to a manual page such as "name(1)"."""
    name, parenthesis, number = text.partition("(")
    return bold(name) + parenthesis + number


def metavar(text: str) -> str:
    """Set a metavar: its capitals in italics, dots and brackets as they are."""
    return re.sub(r"[A-Z]+", lambda match: italic(match[0]), literal(text))


def prose(text: str) -> str:
    """Set a paragraph, one sentence a line: `code`, --options and pages(1) in bold, *names* in italics."""
    lines = [line for part in _SENTENCE.split(text) for line in textwrap.wrap(part, 72, break_on_hyphens=False)]
    return "\n".join(map(_protected, _marked("\n".join(lines)).splitlines()))


def heading(title: str, section: int, version: str, book: str) -> str:
    """Return the title line of a page, without a date: the text depends only on the version. Lines are ragged right."""
    return f'.TH {literal(title.upper())} {section} "" "cputune {literal(version)}" "{book}"\n.nh\n.ad l'


def section(title: str, *parts: str) -> str:
    """Return a section with its heading."""
    return _headed(f".SH {title}", parts)


def subsection(title: str, *parts: str) -> str:
    """Return a subsection with its heading."""
    return _headed(f".SS {title}", parts)


def paragraphs(texts: Iterable[str]) -> str:
    """Set several paragraphs."""
    return "\n.PP\n".join(map(prose, texts))


def item(head: str, text: str) -> str:
    """Return an entry with a hanging head, which is roff already; the text is prose."""
    return f".TP\n{head}\n{prose(text)}"


def items(pairs: Iterable[tuple[str, str]]) -> str:
    """Return several entries."""
    return "\n".join(item(head, text) for head, text in pairs)


def block(lines: Iterable[str]) -> str:
    """Set lines to paste, or a table, unchanged: indented, in a font of fixed width."""
    return "\n".join([".PP", ".RS 2", ".EX", *(_protected(literal(line)) for line in lines), ".EE", ".RE"])


def usage(words: str, parts: Iterable[str]) -> str:
    """Return a synopsis of a command; the parts are roff already."""
    return "\n".join([f'.SY "{literal(words)}"', *parts, ".YS", ".nh", ".ad l"])


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align the cells of a table with spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _headed(line: str, parts: Iterable[str]) -> str:
    return line + "\n" + "\n".join(parts).removeprefix(".PP\n")


def _marked(text: str) -> str:
    found, end = "", 0
    for match in _CODE.finditer(text):
        found += plain(text[end : match.start()])
        found += page(match[3]) if match[3] else italic(match[4]) if match[4] else bold(match[1] or match[2])
        end = match.end()
    return found + plain(text[end:])


def _protected(line: str) -> str:
    return rf"\&{line}" if line.startswith((".", "'")) else line
