"""The table that `cputune status` prints on a terminal. The only module that imports rich."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

_RIGHT = frozenset({"SHARES", "WEIGHT", "LIMIT", "EFFECTIVE", "USE", "THROTTLED"})
"""Headings of the columns that are aligned to the right: those with numbers."""
_STYLES = {"stopped": "dim", "drift": "yellow"}
"""Styles of rich, by what a cell has before its first colon."""


def show(header: list[str], rows: list[list[str]]) -> None:
    """Print a table that fits the terminal: long cells are folded, never cut."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, justify="right" if name in _RIGHT else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell.partition(":")[0], "")) for cell in row))
    Console(highlight=False).print(table)
