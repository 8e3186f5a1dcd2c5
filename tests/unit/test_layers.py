"""The structure of the package: folders in one order, lower ones know nothing of higher ones, and nothing goes round.

Read from the text of the modules, so imports inside functions and those for type checkers count as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import cputune

PACKAGE = Path(cputune.__file__).parent
FOLDERS = (
    "core",
    "host",
    "runtimes",
    "config",
    "transaction",
    "planning",
    "drift",
    "app",
    "guard",
    "cli",
    "docgen",
)
"""From the lowest to the highest."""
TOP = {"__init__", "__main__"}
LARGEST_INIT = 12
"""Lines: what stands in an `__init__` is loaded by whoever imports anything beside it."""


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("cputune", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """The modules of the package that a module imports, anywhere in its text."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: write imports in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in MODULES or node.module in MODULES:
                    yield whole if whole in MODULES else str(node.module)


IMPORTS = {name: set(imports(name)) for name in MODULES}


def folder(name: str) -> str:
    """The folder of a module right below the package; empty for the package's own modules."""
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or (len(parts) == 2 and parts[1] in FOLDERS) else ""


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """A way round in a graph; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_folders_are_those_that_are_known() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found == set(FOLDERS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP


@pytest.mark.parametrize("name", [name for name in MODULES if folder(name)])
def test_a_module_imports_from_its_own_folder_and_lower_ones(name: str) -> None:
    rank = FOLDERS.index(folder(name))
    higher = [other for other in IMPORTS[name] if folder(other) and FOLDERS.index(folder(other)) > rank]
    assert higher == []


def test_no_import_goes_round() -> None:
    assert cycle(IMPORTS) == []


def test_no_folder_inside_a_folder_goes_round() -> None:
    nested: dict[str, set[str]] = {}
    for name, others in IMPORTS.items():
        own = str(MODULES[name].parent)
        nested.setdefault(own, set()).update({str(MODULES[other].parent) for other in others} - {own})
    assert cycle({name: others for name, others in nested.items() if name != str(PACKAGE)}) == []


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_an_init_is_nearly_empty(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) <= LARGEST_INIT


def test_a_way_round_and_a_wrong_direction_would_be_seen() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert folder("cputune.core.model") == "core"
    assert folder("cputune.__main__") == ""
