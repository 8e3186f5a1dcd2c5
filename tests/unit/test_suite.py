"""The tests themselves: what they share is in tests/support."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.modes import NOT_ON

TESTS = Path(__file__).parent.parent
EXAMPLES = """
import suite.a.conftest
from suite import conftest
def function():
    from suite.b.test_c import name
SCRIPT = "from suite.test_d import name"
from suite.support.lab import Lab
"""


def imports(code: str) -> Iterator[str]:
    """What is imported anywhere in a piece of code, in a text that is code itself too."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)
            case ast.Constant(value=str() as text) if "import " in text:
                yield from (word for word in text.split() if word.startswith("tests."))


def private(code: str) -> list[str]:
    """The imports of test modules and conftests, which are for pytest alone."""
    found = (name for name in imports(code) if name.startswith("tests."))
    return [name for name in found if any(part == "conftest" or part.startswith("test_") for part in name.split("."))]


def test_nothing_is_imported_from_a_test_module_or_a_conftest() -> None:
    modules = sorted(TESTS.rglob("*.py"))
    assert Path(__file__) in modules
    found = {module.relative_to(TESTS).as_posix(): private(module.read_text()) for module in modules}
    assert {module: names for module, names in found.items() if names} == {}


def test_an_import_is_found_wherever_it_is() -> None:
    found = ["tests.a.conftest", "tests.b.test_c.name", "tests.conftest", "tests.test_d"]
    assert sorted(private(EXAMPLES.replace("suite", "tests"))) == found


@pytest.mark.parametrize("mode", NOT_ON)
def test_what_is_left_out_in_a_mode_of_the_virtual_machine_is_there_in_another(mode: str) -> None:
    for entry in NOT_ON[mode]:
        file, _, test = entry.partition("::")
        code = ast.parse((TESTS / "vm" / file).read_text())
        assert not test or test in {node.name for node in ast.walk(code) if isinstance(node, ast.FunctionDef)}, entry
        assert not {entry, file} & NOT_ON["unified"].keys(), entry
