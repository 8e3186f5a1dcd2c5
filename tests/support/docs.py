"""The generated files: pages and their sections."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click

from cputune.cli.main import cli
from cputune.docgen import files as docgen
from tests.support.machine import give_up

SOURCES = Path(__file__).resolve().parents[2]
FILES = docgen.render()
README = (SOURCES / "README.md").read_text()
PAGES = [path for path in FILES if path.startswith("man/")]


def tool(name: str) -> str:
    """The path of a program."""
    return shutil.which(name) or give_up(f"{name} is not installed")


def rendered(path: str) -> str:
    """A page as a person reads it, on one line: without roff's escapes, and without regard to its lines."""
    text = re.sub(r"\\f[BIRP]|\\&", "", FILES[path]).replace(r"\(aq", "'")
    return " ".join(re.sub(r"\\ |\n(\.\w+ ?)*", " ", text).replace(r"\-", "-").replace(r"\e", "\\").split())


def section(path: str, title: str) -> str:
    """One section of a page, with its roff."""
    return FILES[path].partition(f"\n.SH {title}\n")[2].partition("\n.SH ")[0]


def click_command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command
    return command


def page_of(name: str) -> str:
    return f"man/man1/cputune-{name}.1" if name else "man/man1/cputune.1"
